"""`python -m petseg` is the command `petseg`."""

from petseg.cli import main

if __name__ == "__main__":
    main(prog_name="petseg")
