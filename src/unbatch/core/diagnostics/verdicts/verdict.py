"""What one check comes to, and the bounds and words that several checks share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

Judgement: TypeAlias = Literal["fine", "look here", "do not trust"]

MOST_LEFT = 0.25
"""Share of what there was before that may be left after correction."""
LEAST_COMPARED = 0.5

_SHOWN = 3


@dataclass(frozen=True)
class Verdict:
    """What one check comes to.

    Attributes
    ----------
    check
        Name of the check.
    verdict
        "fine", "look here" or "do not trust".
    value
        The number it rests on.
    threshold
        The bound that it was, or was not, beyond.
    text
        One sentence with the number.
    cure
        What to do; "" if nothing.
    """

    check: str
    verdict: Judgement
    value: float
    threshold: float
    text: str
    cure: str = ""


def named(names: Sequence[str]) -> str:
    """List names, of many the first few and how many there are."""
    return first_few([repr(str(name)) for name in names])


def first_few(words: Sequence[str]) -> str:
    """List words as they are, of many the first few and how many more there are."""
    shown = ", ".join(words[:_SHOWN])
    return shown if len(words) <= _SHOWN else f"{shown} and {len(words) - _SHOWN} more"
