"""``python -m unbatch``: the command line."""

from unbatch.cli import main

if __name__ == "__main__":
    main()
