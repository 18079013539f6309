"""Training: the loop, losses, optimizers, devices, checkpoints, history."""
