"""Another peer: the U-Net of segmentation_models.pytorch with the same encoder, where it is installed.

Nothing here imports TensorFlow: PyTorch's Triton ends a process that has it.
"""

from benchmarks.contenders import Ready, rate


def smp_s(size: int, batch: int, classes: int, seconds: float) -> Ready:
    """A step of its training, the encoder's too, in the memory layout that is the faster one for it."""
    import segmentation_models_pytorch as smp
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = smp.Unet("mobilenet_v2", encoder_weights=None, classes=classes).train()
    network = network.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    image = torch.rand(batch, 3, size, size, device=device).contiguous(
        memory_format=torch.channels_last
    )
    mask = torch.randint(classes, (batch, size, size), device=device)

    def step() -> None:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(image), mask)
        loss.backward()
        optimizer.step()
        loss.item()  # read, as by the others

    with FlopCounterMode(display=False) as counted, torch.no_grad():
        network(image)
    facts = {
        "parameters": sum(p.numel() for p in network.parameters()),
        "M multiply-adds": counted.get_total_flops() / 2 / 1e6 / batch,
    }
    return Ready(lambda: rate(step, batch, seconds), facts)
