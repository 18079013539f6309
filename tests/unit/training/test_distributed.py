"""Several workers: equal configurations, lost workers."""

import pytest
import tensorflow as tf

from petseg.core.errors import PetsegError
from petseg.training import distributed
from petseg.training.cluster import SINGLE_WORKER, Worker
from petseg.training.distributed import (
    assert_same_config,
    broadcast_from_chief,
    translate_worker_failures,
)

SECOND = Worker(1, 2)
COLLECTIVE = "Error\nCollective ops is aborted by: peer is gone\nmore"


def test_a_single_worker_broadcasts_to_itself():
    assert broadcast_from_chief(None, SINGLE_WORKER, b"content") == b"content"


@pytest.mark.parametrize("content", [b"", b"x", b"eight by", b"more than eight"])
def test_bytes_of_any_length_survive_the_broadcast(monkeypatch, content):
    monkeypatch.setattr(distributed, "_broadcast_integers", lambda s, w, values: values)
    assert broadcast_from_chief(None, Worker(0, 2), content) == content


def test_a_worker_with_another_configuration_is_an_error(monkeypatch):
    monkeypatch.setattr(distributed, "broadcast_from_chief", lambda *args: b"chief's")
    assert_same_config(None, SECOND, "chief's")
    with pytest.raises(PetsegError, match="Worker 2 of 2 has different parameters, data, code"):
        assert_same_config(None, SECOND, "its own")


LOST = {
    "unavailable": tf.errors.UnavailableError(None, None, "Connection reset"),
    "aborted": tf.errors.AbortedError(None, None, "gone"),
    "collective": tf.errors.InternalError(None, None, COLLECTIVE),
}
OTHER = {
    "internal": tf.errors.InternalError(None, None, "a bug"),
    "invalid": tf.errors.InvalidArgumentError(None, None, COLLECTIVE),
}


@pytest.mark.parametrize("error", LOST.values(), ids=LOST)
def test_a_lost_worker_is_explained(error):
    message = r"One of the 2 workers was lost \(.*\); restart all"
    with pytest.raises(PetsegError, match=message), translate_worker_failures(SECOND):
        raise error


@pytest.mark.parametrize("error", OTHER.values(), ids=OTHER)
def test_other_tensorflow_errors_pass_through(error):
    with pytest.raises(type(error)), translate_worker_failures(SECOND):
        raise error


def test_a_single_worker_never_reports_a_lost_worker():
    with pytest.raises(tf.errors.UnavailableError), translate_worker_failures(SINGLE_WORKER):
        raise LOST["unavailable"]
