"""``unbatch`` and ``python -m unbatch``: the command line, which can be stopped from its first moment on."""

from unbatch._stopping import stoppable
from unbatch._streams import open_streams


def main() -> None:
    """Run the command line: exit code 0, 2 if the user can help it, 130 after Ctrl-C or a termination signal."""
    open_streams()  # before anything else is opened

    with stoppable():
        from unbatch.cli import app

        app()


if __name__ == "__main__":
    main()
