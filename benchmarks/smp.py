"""Another peer, if installed: segmentation_models.pytorch's U-Net with the same encoder.

Nothing here imports TensorFlow: PyTorch's Triton crashes in a process that has imported it.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from benchmarks.contenders import Prepared, rate


def smp_step(
    size: int, batch: int, classes: int, seconds: float, compiled: bool = False, **precision: bool
) -> Prepared:
    """Prepare a training step of the whole network, in PyTorch's faster memory layout."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    network, image, autocast = _prepare(size, batch, classes, **precision)
    on_gpu = image.device.type == "cuda"
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=on_gpu)
    mask = torch.randint(classes, (batch, size, size), device=image.device)
    forward = torch.compile(network) if compiled else network

    def step() -> None:
        optimizer.zero_grad()
        with autocast():
            loss = torch.nn.functional.cross_entropy(forward(image), mask)
        loss.backward()
        optimizer.step()
        loss.item()  # waits for the result, as the other contenders do

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    details = {
        "parameters": sum(p.numel() for p in network.parameters()),
        "M multiply-adds": counter.get_total_flops() / 2 / 1e6 / batch,
    }
    return Prepared(lambda: rate(step, batch, seconds), details)


def smp_prediction(
    size: int, batch: int, classes: int, seconds: float, compiled: bool = False, **precision: bool
) -> Prepared:
    """Prepare the prediction of a batch that is already in the device's memory."""
    import torch

    network, image, autocast = _prepare(size, batch, classes, **precision)
    network.eval()
    forward = torch.compile(network) if compiled else network

    def predict() -> None:
        with torch.inference_mode(), autocast():
            forward(image).argmax(1)[0, 0, 0].item()

    return Prepared(lambda: rate(predict, batch, seconds))


def _prepare(
    size: int, batch: int, classes: int, tf32: bool = False, bfloat16: bool = False
) -> tuple[Any, Any, Callable[[], AbstractContextManager[Any]]]:
    """Return a network in training mode, images of noise, and a context for its precision."""
    import segmentation_models_pytorch as smp
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    network = smp.Unet("mobilenet_v2", encoder_weights=None, classes=classes).train()
    network = network.to(device, memory_format=torch.channels_last)
    image = torch.rand(batch, 3, size, size, device=device)
    image = image.contiguous(memory_format=torch.channels_last)
    return (
        network,
        image,
        lambda: torch.autocast(device.type, torch.bfloat16, enabled=bfloat16),
    )
