"""What a damaged, foreign or unreachable input says: one sentence in place of a traceback of the format's library."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from unbatch._check import InputError

_LONGEST = 200


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    line = text[0] if text else type(error).__name__
    return line if len(line) <= _LONGEST else line[:_LONGEST] + "..."


def cannot_write(error: Exception) -> str | None:
    """Say why something could not be written, in the few words of the system; None if `error` is of another kind.

    HDF5 puts these words into the middle of a long line, and h5py raises no OSError if it is a file's end that fails.
    """
    if not isinstance(error, OSError) and "id ref count" not in str(error):
        return None
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    found = re.search(r"error message = '([^']+)'", str(error))
    return found[1] if found else _first_line(error)


def _is_locked(error: Exception) -> bool:
    return isinstance(error, BlockingIOError) or (isinstance(error, OSError) and "unable to lock file" in str(error))


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn whatever goes wrong while `what` is read into an InputError that names it.

    Errors that are already ours pass, and so do lack of memory and interruption.

    Parameters
    ----------
    what
        Name of the file or matrix, to start the sentence with.
    """
    try:
        yield
    except (InputError, MemoryError):
        raise
    except PermissionError as error:
        raise InputError(f"{what} may not be read: ask its owner for read permission") from error
    except FileNotFoundError as error:
        raise InputError(f"{what} does not exist: check the path ({_first_line(error)})") from error
    # h5py, zarr, numcodecs and anndata raise errors of many types on damaged files, most of them plain Exceptions
    except Exception as error:
        if _is_locked(error):
            raise InputError(
                f"{what} is open for writing in another program: close it there (or set HDF5_USE_FILE_LOCKING=FALSE "
                "where the file system has no locks)"
            ) from error
        raise InputError(
            f"{what} could not be read: it is damaged, cut short or not what its name says "
            f"({type(error).__name__}: {_first_line(error)}). Check its size against the original, or write it again",
        ) from error
