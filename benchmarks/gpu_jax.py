"""Measure a GPU through JAX, where a machine has JAX and PyTorch but no TensorFlow.

\b
  python benchmarks/gpu_jax.py          at most six minutes
  python benchmarks/gpu_jax.py --cpu    a tiny version on the CPU, which tests this script

The network, the losses and the confusion counts are pure Keras and run on JAX as they are. The
optimizer is Keras's AdamW, and JAX compiles the step with XLA; so its speed is not that of
`petseg`'s own step in TensorFlow. Prints Markdown tables. What there is no time for is left out.

Needs jax, keras, h5py, pydantic, ruamel.yaml, PyYAML and click; torch and
segmentation-models-pytorch for the peer.
"""

import importlib.util
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

_ROOT = Path(__file__).resolve().parent.parent
if __name__ == "__main__":
    sys.path[:1] = [str(_ROOT), str(_ROOT / "src"), str(_ROOT / "tests")]

_LIMIT = 350  # seconds
_RESERVED = {"speed": 170, "peer": 80, "accuracy": 0}  # seconds for the parts that follow each
_CLASSES = 3
_POLICIES = {"bfloat16": "mixed_bfloat16", "float64": "float64"}


@dataclass(frozen=True)
class Case:
    """What one row of the table of speeds measures."""

    network: str  # a recipe, or "tutorial"
    size: int  # pixels per side
    batch: int
    precision: str  # float32 | tf32 | bfloat16


_SHAPES = [
    *((128, 64, precision) for precision in ("tf32", "bfloat16")),
    *((size, batch, "tf32") for size, batch in ((256, 64), (128, 256), (128, 16))),
    (128, 64, "float32"),
    (256, 64, "bfloat16"),
    *((256, batch, "tf32") for batch in (16, 256)),
    *((128, batch, "bfloat16") for batch in (256, 16)),
]
"""Size, batch and precision, the most important first."""

_CASES = [
    Case(network, *shape)
    for number, shape in enumerate(_SHAPES)
    for network in ("fast", "mobilenet", *(["tutorial"] if number in (0, 2) else []))
]
_TINY_CASES = [Case("fast", 32, 2, "float32"), Case("tutorial", 32, 2, "bfloat16")]
_TINY_MODEL = {"alpha": 0.35, "decoder_filters": (8,), "output_stride": 16}


@click.command(help=__doc__)
@click.option("--cpu", "on_cpu", is_flag=True, help="Run a tiny version on the CPU.")
@click.option("--part", type=click.Choice(list(_RESERVED)), hidden=True)
@click.option("--seconds", type=float, hidden=True)
def main(on_cpu: bool, part: str | None, seconds: float | None) -> None:
    if part:
        import keras  # noqa: F401  (before benchmarks, which selects TensorFlow as its backend)

        assert seconds is not None
        {"accuracy": print_accuracy, "speed": print_speed, "peer": print_peer}[part](
            on_cpu, time.monotonic() + seconds
        )
        return
    start = time.monotonic()
    print(f"{_describe_machine()}\n", flush=True)
    failed = []
    for part, reserved in _RESERVED.items():
        left = 3600.0 if on_cpu else _LIMIT - reserved - (time.monotonic() - start)
        if not _run_part(part, on_cpu, left):
            failed.append(part)
    if failed:
        sys.exit(f"Failed or cut off: {', '.join(failed)}.")


def _describe_machine() -> str:
    from benchmarks.results import describe_machine

    names = ("jax", "keras", "torch", "segmentation-models-pytorch")
    found = [name for name in names if importlib.util.find_spec(name.replace("-", "_"))]
    return ", ".join([describe_machine(), *(f"{name} {version(name)}" for name in found)])


def _run_part(part: str, on_cpu: bool, seconds: float) -> bool:
    """Run a part in its own process, since JAX and PyTorch each keep the GPU's memory."""
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    environment["JAX_ENABLE_X64"] = "1" if part == "accuracy" else "0"
    if on_cpu:
        environment |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, __file__, "--part", part, "--seconds", str(seconds)]
    try:
        process = subprocess.run(
            [*command, *(["--cpu"] if on_cpu else [])], env=environment, timeout=seconds + 5
        )
    except subprocess.TimeoutExpired:
        return False
    return process.returncode == 0


def _print_row(*cells: object) -> None:
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def _print_head(title: str, *names: str) -> None:
    print(f"**{title}**\n")
    _print_row(*names)
    print("|---" * len(names) + "|", flush=True)


def _params(network: str) -> Any:
    """Return params.yaml with a recipe's settings; the tutorial's network has none of its own."""
    from petseg.config.params import load_params, parse_params
    from support.project import recipe_settings, with_values

    recipe = _ROOT / "recipes" / f"{'fast' if network == 'tutorial' else network}.txt"
    raw = load_params(_ROOT / "params.yaml").model_dump(mode="json")
    return parse_params(with_values(raw, recipe_settings(recipe)))


def _build(network: str, precision: str, on_cpu: bool, size: int) -> Any:
    """Build an untrained network that computes in this precision, with the encoder trained.

    On the CPU, where its initializers compile faster.
    """
    import jax
    import keras

    from benchmarks.tutorial_network import build_tutorial_network
    from petseg.model.encoder import set_encoder_trainable
    from petseg.model.unet import Architecture, build_unet

    keras.config.set_floatx("float64" if precision == "float64" else "float32")
    keras.config.set_dtype_policy(_POLICIES.get(precision, "float32"))
    keras.utils.set_random_seed(0)
    with jax.default_device(jax.devices("cpu")[0]):
        if network == "tutorial":
            return build_tutorial_network(size, _CLASSES, None, frozen=False)
        model = _params(network).model.model_dump(exclude={"weights"})
        model |= _TINY_MODEL if on_cpu else {}
        built = build_unet(Architecture(**model, classes=_CLASSES))
    set_encoder_trainable(built.get_layer("encoder"), True, "frozen")  # as with pretrained weights
    return built


def _matmul_precision(precision: str) -> Any:
    """Return a context in which a GPU computes float32 as such, or else in TF32."""
    import jax

    return jax.default_matmul_precision("float32" if precision == "float32" else "tensorfloat32")


@dataclass(frozen=True)
class Program:
    """A compiled function, and what it took to compile."""

    run: Callable[[], object]  # computes a batch and waits for the result
    seconds: float
    gib: float  # of the GPU's memory


def print_speed(on_cpu: bool, deadline: float) -> None:
    """Print images/s of training and of prediction."""
    warnings.filterwarnings("ignore", "Explicitly requested dtype int64")  # int32 will do here
    _print_head(
        "Images/s, Keras on JAX",
        *("network", "px", "batch", "precision", "training", "prediction"),
        *("GiB to train", "s to compile"),
    )
    cases = _TINY_CASES if on_cpu else _CASES
    for start in range(0, len(cases), 2):
        if time.monotonic() > deadline - 30:
            print(f"\nNo time was left for {len(cases) - start} more rows.")
            break
        group = cases[start : start + 2]
        with ThreadPoolExecutor() as pool:  # XLA compiles several programs at a time
            futures = [_compile_case(case, on_cpu, pool) for case in group]
        for case, (train, predict) in zip(group, futures, strict=True):
            speeds = [_measure(future, case.batch, on_cpu) for future in (train, predict)]
            error = train.exception() or predict.exception()
            costs = ["", ""] if error else _costs(train.result(), predict.result())
            _print_row(case.network, case.size, case.batch, case.precision, *speeds, *costs)
    print(flush=True)


def _costs(train: Program, predict: Program) -> list[str]:
    return [f"{train.gib:.1f}", f"{train.seconds:.0f} + {predict.seconds:.0f}"]


def _measure(program: "Future[Program]", batch: int, on_cpu: bool) -> str:
    """Return images/s, or why there are none, such as too little memory."""
    from benchmarks.contenders import rate

    try:
        run = program.result().run
        run()  # the first run also loads the program
        return f"{rate(run, batch, 0.1 if on_cpu else 1.0):,.0f}"
    except Exception as error:  # what XLA raises differs between versions
        return _reason(error)


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:60]


def _compile_case(
    case: Case, on_cpu: bool, pool: ThreadPoolExecutor
) -> tuple["Future[Program]", "Future[Program]"]:
    """Trace a training step and a prediction, and begin to compile them."""
    import jax

    network = _build(case.network, case.precision, on_cpu, case.size)
    random = np.random.default_rng(0)
    shape = (case.batch, case.size, case.size)
    image = random.integers(0, 256, (*shape, 3), np.uint8)
    mask = random.integers(0, _CLASSES, shape, np.uint8)
    with _matmul_precision(case.precision):
        step, state = make_train_step(network, case.network)
        train = jax.jit(step, donate_argnums=0).lower(state, image, mask)
        predict, weights = make_prediction(network, case.network)
        prediction = jax.jit(predict).lower(weights, image)

    def start_training(compiled: Any) -> Callable[[], object]:
        held = jax.device_put(state)
        batch = jax.device_put((image, mask))

        def run() -> float:
            nonlocal held
            held, loss, _ = compiled(held, *batch)
            return float(loss)  # waits for it, as the training loop does

        return run

    def start_prediction(compiled: Any) -> Callable[[], object]:
        held, batch = jax.device_put((weights, image))
        return lambda: int(compiled(held, batch)[0, 0, 0])

    return (
        pool.submit(_compile, train, start_training),
        pool.submit(_compile, prediction, start_prediction),
    )


def _compile(lowered: Any, start: Callable[[Any], Callable[[], object]]) -> Program:
    begin = time.monotonic()
    compiled = lowered.compile()
    seconds = time.monotonic() - begin
    memory = compiled.memory_analysis()
    used = memory.temp_size_in_bytes + memory.argument_size_in_bytes if memory else 0
    run: Callable[[], object] | None = None

    def run_once() -> object:
        nonlocal run
        run = run or start(compiled)  # not before: only one program at a time holds memory
        return run()

    return Program(run_once, seconds, used / 2**30)


def make_train_step(network: Any, name: str) -> tuple[Callable[..., Any], Any]:
    """Return a function of (state, image, mask) to (state, loss, counts), and the first state."""
    import jax
    import keras
    from keras import ops

    from petseg.metrics import count_confusion
    from petseg.training.losses import segmentation_loss

    params = _params(name).train
    optimizer = keras.optimizers.AdamW(
        params.learning_rate, params.weight_decay, global_clipnorm=params.clip_norm
    )
    optimizer.build(network.trainable_variables)

    def loss_and_rest(trainable: Any, others: Any, image: Any, mask: Any) -> tuple[Any, Any]:
        pixels = _input(image, name)
        logits, others = network.stateless_call(trainable, others, pixels, training=True)
        if name == "tutorial":
            loss = ops.mean(ops.sparse_categorical_crossentropy(mask, logits, from_logits=True))
        else:
            loss = ops.mean(segmentation_loss(mask, logits, params.loss))
        return loss, (others, ops.sum(count_confusion(mask, logits), axis=0))

    def step(state: Any, image: Any, mask: Any) -> tuple[Any, Any, Any]:
        trainable, others, moments = state
        gradient = jax.value_and_grad(loss_and_rest, has_aux=True)
        (loss, (others, counts)), gradients = gradient(trainable, others, image, mask)
        trainable, moments = optimizer.stateless_apply(moments, gradients, trainable)
        return (trainable, others, moments), loss, counts

    variables = network.trainable_variables, network.non_trainable_variables, optimizer.variables
    return step, tuple(map(_arrays, variables))


def make_prediction(network: Any, name: str) -> tuple[Callable[..., Any], Any]:
    """Return a function of (weights, image) to the mask, and the weights."""
    from keras import ops

    def predict(weights: Any, image: Any) -> Any:
        logits, _ = network.stateless_call(*weights, _input(image, name), training=False)
        return ops.argmax(logits, axis=-1)

    variables = network.trainable_variables, network.non_trainable_variables
    return predict, tuple(map(_arrays, variables))


def _input(image: Any, name: str) -> Any:
    """Return the pixels that a network expects: ours of 0..255, the tutorial's of 0..1."""
    from keras import ops

    pixels = ops.cast(image, "float32")
    return pixels / 255.0 if name == "tutorial" else pixels


def _arrays(variables: Any) -> list[NDArray[Any]]:
    return [np.asarray(variable) for variable in variables]


def print_peer(on_cpu: bool, deadline: float) -> None:
    """Print images/s of segmentation_models.pytorch's U-Net with the same encoder, compiled."""
    if importlib.util.find_spec("segmentation_models_pytorch") is None:
        print("segmentation_models.pytorch is not installed.\n")
        return
    import torch

    from benchmarks.smp import smp_prediction, smp_step

    _print_head(
        "Images/s, segmentation_models.pytorch's U-Net on MobileNetV2",
        *("px", "batch", "precision", "training", "with torch.compile"),
        *("prediction", "with torch.compile"),
    )
    shapes = [(32, 2, "float32")] if on_cpu else _SHAPES
    for number, (size, batch, precision) in enumerate(shapes):
        if time.monotonic() > deadline - 20:
            print(f"\nNo time was left for {len(shapes) - number} more rows.")
            break
        speeds = []
        for prepare in (smp_step, smp_prediction):
            for compiled in (False, True):
                torch.compiler.reset()
                torch.cuda.empty_cache()
                settings = {"tf32": precision == "tf32", "bfloat16": precision == "bfloat16"}
                seconds = 0.1 if on_cpu else 1.0
                try:
                    done = prepare(size, batch, _CLASSES, seconds, compiled, **settings)
                    done.measure()  # the first turn compiles
                    speeds.append(f"{done.measure():,.0f}")
                except Exception as error:  # what torch.compile raises is not documented
                    speeds.append(_reason(error))
        _print_row(size, batch, precision, *speeds)
    print(flush=True)


def print_accuracy(on_cpu: bool, deadline: float) -> None:
    """Print how far network, losses, gradients and counts are from float64 on the CPU."""
    import jax

    from petseg.metrics import count_labels

    _print_head(
        "Differences from float64 on the CPU",
        *("network", "precision", "largest of the logits", "pixels of another class"),
        *("loss", "gradient", "confusion counts"),
    )
    image, mask = _draw_pets(2 if on_cpu else 32, 32 if on_cpu else 128)
    some = image[:2], mask[:2]  # float64 on the CPU is slow
    for name in ("fast",) if on_cpu else ("fast", "mobilenet"):
        if time.monotonic() > deadline - 30:
            print(f"\nNo time was left for `{name}`.")
            break
        weights = _train(name, on_cpu, image, mask)
        network = _build(name, "float64", on_cpu, image.shape[1])
        with jax.default_device(jax.devices("cpu")[0]):
            logits, _, loss, gradients = _evaluate(network, weights, name, *some)
        for precision in ("float32", "tf32", "bfloat16"):
            network = _build(name, precision, on_cpu, image.shape[1])
            with _matmul_precision(precision):
                other, counts, other_loss, other_gradients = _evaluate(
                    network, weights, name, *some
                )
            difference = np.abs(other - logits).max() / logits.std()
            changed = np.mean(other.argmax(-1) != logits.argmax(-1))
            pairs = zip(some[1], other.argmax(-1).astype(np.uint8), strict=True)
            is_exact = np.array_equal(counts, [count_labels(*pair, _CLASSES) for pair in pairs])
            _print_row(
                *(name, precision, f"{difference:.1e} of their deviation", f"{changed:.2%}"),
                f"{abs(other_loss / loss - 1):.1e}",
                f"{_distance(other_gradients, gradients):.1e}",
                "exact" if is_exact else "WRONG",
            )
    print(flush=True)


def _distance(gradients: list[NDArray[Any]], expected: list[NDArray[Any]]) -> float:
    """Return the norm of the difference relative to the norm of what is expected."""
    pairs = zip(gradients, expected, strict=True)
    squares = sum(float(np.sum((a.astype(np.float64) - b) ** 2)) for a, b in pairs)
    return float(np.sqrt(squares / sum(float(np.sum(b**2)) for b in expected)))


def _draw_pets(number: int, size: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return drawn images (B, S, S, 3) and masks (B, S, S)."""
    from petseg.datasets.synthetic.draw import draw_pet

    drawn = [draw_pet(0, index, size)[:2] for index in range(number)]
    images, masks = zip(*drawn, strict=True)
    return np.stack(images), (np.stack(masks) - 1).astype(np.uint8)


def _train(
    name: str, on_cpu: bool, image: NDArray[Any], mask: NDArray[Any]
) -> list[NDArray[np.float32]]:
    """Return the weights of a network that has seen the images for some steps.

    An untrained network tells classes apart by so little that rounding changes most of them.
    """
    import jax
    import keras

    network = _build(name, "float32", on_cpu, image.shape[1])
    for layer in [*network.layers, *network.get_layer("encoder").layers]:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable, layer.momentum = True, 0.8
    with _matmul_precision("float32"):
        step, state = make_train_step(network, name)
        compiled = jax.jit(step)
        for _ in range(3 if on_cpu else 100):
            state, *_ = compiled(state, image, mask)
    trainable, others, _ = state
    for variables, values in (
        (network.trainable_variables, trainable),
        (network.non_trainable_variables, others),
    ):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
    return [np.asarray(weight, np.float32) for weight in network.weights]


def _evaluate(
    network: Any, weights: list[NDArray[np.float32]], name: str, image: Any, mask: Any
) -> tuple[NDArray[Any], NDArray[Any], float, list[NDArray[Any]]]:
    """Return logits and confusion counts, and a training step's loss and gradients."""
    import jax
    from keras import ops

    from petseg.metrics import count_confusion
    from petseg.training.losses import segmentation_loss

    for variable, weight in zip(network.weights, weights, strict=True):
        variable.assign(weight)
    params = _params(name).train.loss.model_copy(
        update={"lovasz_weight": 0.5, "focal_gamma": 2.0, "label_smoothing": 0.1}
    )

    def compute(trainable: Any, others: Any, image: Any, mask: Any) -> tuple[Any, Any]:
        logits, _ = network.stateless_call(trainable, others, image, training=True)
        loss = ops.mean(segmentation_loss(mask, logits, params))
        logits, _ = network.stateless_call(trainable, others, image, training=False)
        return loss, (logits, count_confusion(mask, logits))

    variables = network.trainable_variables, network.non_trainable_variables
    compiled = jax.jit(jax.value_and_grad(compute, has_aux=True))
    (loss, (logits, counts)), gradients = compiled(
        *map(_arrays, variables), image.astype(variables[0][0].dtype), mask
    )
    return np.asarray(logits), np.asarray(counts), float(loss), _arrays(gradients)


if __name__ == "__main__":
    main()
