"""Whether there is anything at a path, asked before what takes long is loaded."""

from pathlib import Path

from unbatch._check import InputError
from unbatch.io.failures import reading


def check_there(path: Path) -> Path:
    """Give the path with the home folder written out.

    Parameters
    ----------
    path
        Of a file or folder.

    Raises
    ------
    InputError
        If there is nothing, or it may not be looked at.
    """
    path = path.expanduser()
    with reading(str(path)):
        if path.is_symlink() and not path.exists():
            raise InputError(f"{path} is a link to {path.readlink()}, which does not exist: correct the link")
        if not path.exists():
            raise InputError(f"{path} does not exist: check the path, it is looked for from {Path.cwd()}")
    return path
