"""The training loop: losses, optimizers, devices, checkpoint, history."""
