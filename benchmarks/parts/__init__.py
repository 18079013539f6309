"""What is measured, a module each: `run(options)` gives the outcome."""
