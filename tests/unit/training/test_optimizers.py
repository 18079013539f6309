"""The parameter groups and their learning rates."""

import numpy as np
import pytest

from petseg.training.optimizers import build_groups, cosine_with_warmup
from support.training import STEPS, build_tiny_network, change_params


def test_the_learning_rate_warms_up_and_falls_to_zero():
    schedule = cosine_with_warmup(0.01, steps=100, warmup_steps=10)
    rates = [float(schedule(step)) for step in range(101)]
    assert rates[0] == 0
    assert rates[5] == pytest.approx(0.005)
    assert rates[10] == pytest.approx(0.01) == max(rates)
    assert rates[100] == pytest.approx(0, abs=1e-9)


def test_without_warmup_the_learning_rate_starts_at_its_peak():
    assert float(cosine_with_warmup(0.01, 100, 0)(0)) == pytest.approx(0.01)


@pytest.fixture
def groups(tiny_params, small_encoder):
    params = change_params(tiny_params, train__weight_decay=0.1, train__warmup_epochs=0).train
    return build_groups(build_tiny_network(), params, STEPS)


def test_every_trainable_weight_is_in_one_group(groups):
    assert list(groups) == ["decoder", "encoder"]
    encoder, decoder = (
        {variable.path for variable in groups[name].variables} for name in ("encoder", "decoder")
    )
    assert all(path.startswith(("conv_", "norm_")) for path in encoder)
    assert {"head/kernel", "head/bias", "projection_conv/kernel"} <= decoder
    assert not encoder & decoder


def test_weight_decay_shrinks_kernels_only(groups):
    for group in groups.values():
        for variable in group.variables:
            variable.assign(np.ones(variable.shape))
        group.optimizer.apply(
            [np.zeros(v.shape, np.float32) for v in group.variables], group.variables
        )
        for variable in group.variables:
            has_shrunk = bool(np.all(np.asarray(variable) < 1))
            assert has_shrunk == variable.path.endswith("kernel"), variable.path
