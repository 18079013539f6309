"""Many experiments in one command, through DVC's own queue."""
