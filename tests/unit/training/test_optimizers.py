"""The parameter groups and their learning rates."""

import pytest

from petseg.training.optimizers import build_groups, cosine_with_warmup
from support.training import build_tiny_network, change_params


def test_the_learning_rate_warms_up_and_falls_to_zero():
    schedule = cosine_with_warmup(0.01, steps=100, warmup_steps=10)
    rates = [float(schedule(step)) for step in range(101)]
    assert rates[0] == 0
    assert rates[5] == pytest.approx(0.005)
    assert rates[10] == pytest.approx(0.01) == max(rates)
    assert rates[100] == pytest.approx(0, abs=1e-9)


def test_without_warmup_the_learning_rate_starts_at_its_peak():
    assert float(cosine_with_warmup(0.01, 100, 0)(0)) == pytest.approx(0.01)


def test_every_weight_is_in_one_group_and_only_kernels_decay(tiny_params, small_encoder):
    network = build_tiny_network()
    params = change_params(tiny_params, train__weight_decay=0.1).train
    groups = build_groups(network, params, 3)
    assert list(groups) == ["decoder", "encoder"]
    paths = [variable.path for group in groups.values() for variable in group.variables]
    assert sorted(paths) == sorted(variable.path for variable in network.trainable_variables)
    encoder = {variable.path for variable in network.get_layer("encoder").trainable_variables}
    assert {variable.path for variable in groups["encoder"].variables} == encoder
    for group in groups.values():
        decays = {
            v.path.split("/")[-1]: group.optimizer._use_weight_decay(v) for v in group.variables
        }
        assert {name for name, decays_it in decays.items() if decays_it} <= {
            "kernel",
            "pointwise_kernel",
            "depthwise_kernel",
        }
        assert not decays["gamma"]
