"""What every notebook of the pages starts with: output as a reader sees it, without the paths of this machine."""

import os
import subprocess
import sys
import warnings

from IPython.core.magic import register_cell_magic


@register_cell_magic
def bash(options: str, commands: str) -> None:
    """Run a cell in bash and show what it printed in one piece, without colours; the usual magic shows it in scraps."""
    environment = {name: value for name, value in os.environ.items() if name not in {"FORCE_COLOR", "CLICOLOR_FORCE"}}
    done = subprocess.run(  # noqa: S603 - the cells of our own pages
        ["bash", *options.split()],  # noqa: S607 - the reader's bash
        input=commands,
        env={**environment, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    done.check_returncode()


def _one_line(message: Warning | str, category: type[Warning], *_place: object) -> str:
    return f"{category.__name__}: {message}\n"


warnings.formatwarning = _one_line
