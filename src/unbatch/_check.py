"""The two ways in which unbatch talks about input: it refuses it, or it accepts it and says what it noticed."""

import inspect
import math
import warnings
from numbers import Integral, Real


class InputError(ValueError):
    """Input that cannot be used: the message names the fault, its place and extent, and what to do about it.

    The command line prints the message alone and exits with code 2.
    """


class InputWarning(UserWarning):
    """Input that is used although something about it is likely to surprise."""


def warn(message: str, kind: type[Warning] = InputWarning) -> None:
    """Warn, and name the line of the caller's own code from which the package was called.

    Parameters
    ----------
    message
        What was noticed, where, how much of it, and what to do.
    kind
        Of the warning.
    """
    frame, level, outside = inspect.currentframe(), 0, 1
    while frame:
        level += 1
        if frame.f_globals.get("__name__", "").partition(".")[0] == "unbatch":
            outside = level + 1
        frame = frame.f_back
    warnings.warn(message, kind, stacklevel=outside)


_LARGEST = 2**63 - 1
LARGEST_SEED = 2**32 - 1
"""What all generators of random numbers that are used take."""


def check_whole(name: str, value: object, *, least: int, most: int = _LARGEST, usual: int | None = None) -> None:
    """Refuse an option that is not a whole number within its range.

    Parameters
    ----------
    name
        What the option is called.
    value
        What was given; text, fractions, NaN and True are no whole numbers.
    least, most
        The range, both ends in it; without `most` up to what a file can hold.
    usual
        A value to suggest.

    Raises
    ------
    InputError
        If it is not.
    """
    whole = _is_number(value, Integral)
    if whole and least <= value <= most:  # type: ignore[operator]
        return
    open_ended = most == _LARGEST and not (whole and value > most)  # type: ignore[operator]
    span = f"of {least} or more" if open_ended else f"from {least} to {most}"
    hint = "" if usual is None else f" ({usual} is usual)"
    raise InputError(f"{name} is {value!r}: it must be a whole number {span}{hint}")


def check_number(
    name: str, value: object, *, above: float | None = None, least: float | None = None, infinite: bool = False
) -> None:
    """Refuse an option that is not a number within its range; NaN is none.

    Parameters
    ----------
    name
        What the option is called.
    value
        What was given.
    above, least
        Lower end of the range, without or with itself in it.
    infinite
        Whether infinity has a meaning.

    Raises
    ------
    InputError
        If it is not.
    """
    if _is_number(value, Real):
        number = _as_float(value)
        within = (above is None or number > above) and (least is None or number >= least)
        if within and (infinite or math.isfinite(number)):
            return
    kind = "a number" if infinite else "a finite number"
    span = f" above {above:g}" if above is not None else f" of {least:g} or more" if least is not None else ""
    raise InputError(f"{name} is {value!r}: it must be {kind}{span}")


def _as_float(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:  # a whole number of more than 308 digits
        return math.inf if value > 0 else -math.inf  # type: ignore[operator]


def _is_number(value: object, kind: type) -> bool:
    # numpy registers its scalars with these, its bool with neither
    return isinstance(value, kind) and not isinstance(value, bool)


def check_slot(name: str, value: object) -> None:
    """Refuse what cannot name a slot of an AnnData that is written to a file.

    Raises
    ------
    InputError
        If it is no text, is empty, or has a slash, by which files part groups.
    """
    if not isinstance(value, str) or not value or "/" in value:
        raise InputError(f"{name} is {value!r}: it must be a name without slashes")
