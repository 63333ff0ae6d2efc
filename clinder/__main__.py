"""`python -m clinder`: the same as the command `clinder`."""

from clinder.cli import main

if __name__ == "__main__":
    main()
