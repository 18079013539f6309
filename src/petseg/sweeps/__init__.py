"""Run many experiments with one command, through DVC's queue."""
