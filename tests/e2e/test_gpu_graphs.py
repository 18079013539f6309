"""The graphs of training, validation and evaluation on a GPU, as far as they can be known without one."""

import contextlib
from functools import partial

import keras
import pytest
import tensorflow as tf

from petseg.config.params import TtaParams, parse_params
from petseg.determinism import make_deterministic
from petseg.model.encoder import set_encoder_trainable
from petseg.model.unet import Architecture, build_unet
from petseg.prediction.tta import predict_probabilities
from petseg.training.batch_norms import prepare_batch_norms
from petseg.training.precision import dtype_policy_scope
from petseg.training.steps import make_train_step, make_validation_step
from petseg.training.train_state import TrainState
from support.encoders import small_encoder
from support.gpu_graphs import (
    count_launches,
    count_ops,
    lower_to_xla,
    nodes_of,
    optimize,
    refusing_determinism,
    trace,
    without_gpu_kernel,
)
from support.project import ROOT, recipe_settings, with_values
from support.training import one_cpu

NO_WEIGHTS = {"model.weights": "none", "train.frozen_encoder_epochs": 0}
SMALL = {"model.output_stride": 16, "model.decoder_filters": [8, 8, 8], "train.batch_size": 2}
LOSSES = {"dice_weight": 0.5, "lovasz_weight": 0.5, "focal_gamma": 2.0, "label_smoothing": 0.1}
ALL_OPTIONS = {
    "train.ema_decay": 0.99,
    "model.input_upsampling": 2,
    **{f"train.loss.{name}": value for name, value in LOSSES.items()},
}
GPUS = {"T4": "7.5", "A100": "8.0", "H100": "9.0"}


class Case:
    """A network in training, and the graphs of its steps."""

    def __init__(self, default_params, settings, *, small=True, frozen=False, batch_norm="trained"):
        raw = with_values(default_params, {**settings, **NO_WEIGHTS})
        self.params = parse_params(with_values(raw, SMALL) if small else raw)
        model, train = self.params.model, self.params.train
        make_deterministic()  # decides which ops a trace consists of
        keras.utils.set_random_seed(0)
        strategy = one_cpu()
        self.network = network = self._build(strategy, model, train, small)
        layers = network.get_layer("encoder")
        prepare_batch_norms([*network.layers, *layers.layers], 1000, 1)
        set_encoder_trainable(layers, True, batch_norm)
        with strategy.scope():
            state = TrainState(network, train, 100)
        set_encoder_trainable(layers, not frozen, batch_norm)
        self.steps = {
            "train": make_train_step(
                strategy,
                network,
                [state.groups["decoder"]] if frozen else list(state.groups.values()),
                batch_size=train.batch_size,
                loss_params=train.loss,
                clip_norm=train.clip_norm,
                ema=state.ema,
                loss_scale=state.loss_scale,
            ),
            "validate": make_validation_step(strategy, network, train.loss),
            "evaluate": partial(
                predict_probabilities, network, tta=TtaParams(flip=True, scales=(0.75, 1.0))
            ),
        }
        self._graphs = {}

    @staticmethod
    def _build(strategy, model, train, small):
        encoder = small_encoder() if small else contextlib.nullcontext()
        with encoder, strategy.scope(), dtype_policy_scope(train.precision):
            return build_unet(Architecture(**model.model_dump(exclude={"weights"}), classes=3))

    def graph(self, step):
        if step not in self._graphs:
            size, batch_size = self.params.preprocess.image_size, self.params.train.batch_size
            image = tf.TensorSpec([batch_size, *size, 3], tf.float32)
            mask = tf.TensorSpec([batch_size, *size], tf.uint8)
            signature = {
                "train": (image, mask),
                "validate": (image, mask, tf.TensorSpec([batch_size], tf.bool)),
                "evaluate": (image,),
            }
            self._graphs[step] = trace(self.steps[step], *signature[step])
        return self._graphs[step]


@pytest.fixture(scope="module")
def cases(default_params):
    default = recipe_settings(ROOT / "recipes/default.txt")
    make = partial(Case, default_params)
    return {
        "recipe default": make(default, small=False, batch_norm="frozen"),
        "params.yaml": make({}, small=False),
        "all options": make(ALL_OPTIONS),
        "encoder frozen": make({}, frozen=True, batch_norm="frozen"),
        "mixed_bfloat16": make({"train.precision": "mixed_bfloat16"}),
        "mixed_float16": make({"train.precision": "mixed_float16"}),
    }


GRAPHS = [
    ("recipe default", "train"),
    ("params.yaml", "train"),
    ("encoder frozen", "train"),
    *((case, "train") for case in ("mixed_bfloat16", "mixed_float16")),
    *(("all options", step) for step in ("train", "validate", "evaluate")),
]


@pytest.mark.parametrize(("case", "step"), GRAPHS)
def test_every_op_has_a_gpu_kernel_and_none_refuses_determinism(cases, case, step):
    nodes = nodes_of(cases[case].graph(step))
    assert len(nodes) > 100
    # TensorFlow resizes with antialiasing on the host, for `evaluate.tta.scales`.
    on_host = {"ScaleAndTranslate"} if step == "evaluate" else set()
    assert without_gpu_kernel(nodes) == on_host
    assert refusing_determinism(nodes) == set()


@pytest.mark.parametrize(
    ("case", "gpu"),
    [
        *(("all options", gpu) for gpu in GPUS),
        ("mixed_bfloat16", "A100"),
        ("mixed_float16", "T4"),
        ("mixed_float16", "H100"),
    ],
)
def test_what_tensorflow_makes_of_a_step_for_a_gpu_can_run_there(cases, case, gpu):
    graph = cases[case].graph("train")
    nodes = optimize(graph, GPUS[gpu])
    assert without_gpu_kernel(nodes) == set()
    assert refusing_determinism(nodes) == set()
    assert count_launches(nodes) < count_launches(nodes_of(graph))


@pytest.mark.parametrize(("case", "most"), [("recipe default", 1700), ("params.yaml", 2200)])
def test_a_step_stays_within_its_budget_of_kernel_launches(cases, case, most):
    nodes = nodes_of(cases[case].graph("train"))
    assert most / 2 < count_launches(nodes) <= most
    operations = count_ops(nodes)
    assert operations["StatelessIf"] + operations["If"] == 0  # a GPU would wait for the host


def test_xla_accepts_a_step_with_determinism(cases):
    case = cases["all options"]
    size = case.params.preprocess.image_size
    image, mask = tf.zeros([2, *size, 3]), tf.zeros([2, *size], tf.uint8)
    hlo = lower_to_xla(case.steps["train"], image, mask)
    assert "convolution(" in hlo  # the network
    assert "sort(" in hlo  # the Lovász loss


def test_a_graph_that_cannot_run_on_a_gpu_is_noticed():
    """Otherwise the tests above would prove nothing."""
    make_deterministic()
    keras.utils.set_random_seed(0)
    images = tf.TensorSpec([2, 8, 8, 4])

    def gradient(function):
        def step(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = function(x)
            return tape.gradient(y, x)

        return step

    nearest = gradient(lambda x: tf.raw_ops.ResizeNearestNeighbor(images=x, size=[4, 4]))
    assert refusing_determinism(nodes_of(trace(nearest, images))) == {"ResizeNearestNeighborGrad"}
    fused = gradient(
        lambda x: tf.compat.v1.nn.fused_batch_norm(
            x, *[tf.ones([4])] * 2, mean=tf.zeros([4]), variance=tf.ones([4]), is_training=False
        )[0]
    )
    assert refusing_determinism(nodes_of(trace(fused, images))) == {"FusedBatchNormGradV3"}
    text = trace(lambda x: tf.strings.as_string(x), images)
    assert without_gpu_kernel(nodes_of(text)) == {"AsString"}
    with pytest.raises(ValueError, match="do not yet have a deterministic XLA implementation"):
        lower_to_xla(gradient(lambda x: tf.nn.max_pool2d(x, 2, 2, "SAME")), tf.ones([2, 8, 8, 4]))
