"""Another peer, if installed: segmentation_models.pytorch's U-Net with the same encoder.

Nothing here imports TensorFlow: PyTorch's Triton crashes in a process that has imported it.
"""

from benchmarks.contenders import Prepared, rate


def smp_step(size: int, batch: int, classes: int, seconds: float) -> Prepared:
    """Prepare a training step of the whole network, in PyTorch's faster memory layout."""
    import segmentation_models_pytorch as smp
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = smp.Unet("mobilenet_v2", encoder_weights=None, classes=classes).train()
    network = network.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    image = torch.rand(batch, 3, size, size, device=device)
    image = image.contiguous(memory_format=torch.channels_last)
    mask = torch.randint(classes, (batch, size, size), device=device)

    def step() -> None:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(image), mask)
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
