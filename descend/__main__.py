"""The command line, as `python -m descend`."""

from descend.cli import main

if __name__ == "__main__":
    main(prog_name="descend")
