"""Names and numbers as a page shows them."""

import math
import re

LONGEST_NAME = 64
"""Characters of a name at most; longer ones are cut in the middle, for names tend to differ at their ends."""

LONGEST_PROSE = 1000
"""Characters of a sentence at most."""

_LEAST_CHANCE = 1e-15
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_START, _END = 24, 16
_SMALL, _LARGE, _HUGE, _WHOLE = 1e-3, 1e3, 1e7, 1e11


def shown(name: object) -> str:
    """Give a name as text that a page can hold: what cannot be printed replaced, and not longer than `LONGEST_NAME`."""
    text = _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", str(name).encode("utf-8", "backslashreplace").decode())
    if len(text) <= LONGEST_NAME:
        return text
    return f"{text[:_START]}\N{HORIZONTAL ELLIPSIS}{text[-_END:]} ({len(text):,} characters)"


def prose(text: object) -> str:
    """Give sentences as text that a page can hold; names inside them that are too long are cut."""
    return " ".join(shown(word) for word in str(text).split())[:LONGEST_PROSE]


def number(value: float) -> str:
    """Write a number with three digits that count; a dash where there is none, whole numbers with their thousands."""
    value = float(value)
    if not math.isfinite(value):
        return "\N{INFINITY}" if value > 0 else "\N{MINUS SIGN}\N{INFINITY}" if value < 0 else "\N{EN DASH}"
    if value == round(value) and abs(value) < _WHOLE:
        return _minus(f"{value:,.0f}")
    if abs(value) < _SMALL or abs(value) >= _HUGE:
        return _minus(re.sub(r"e\+?(-?)0*", r"e\1", f"{value:.1e}"))
    if abs(value) >= _LARGE:
        return _minus(f"{value:,.0f}")
    return _minus(f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}")


def chance(value: float) -> str:
    """Write a p or q; those that are too small to mean anything exact only say so."""
    return "<\N{NO-BREAK SPACE}1e\N{MINUS SIGN}15" if value < _LEAST_CHANCE else number(value)


def share(value: float) -> str:
    """Write a share as per cent."""
    if not math.isfinite(value):
        return "\N{EN DASH}"
    return _minus(f"{100 * value:.0f}%" if abs(value) >= 0.1 else f"{100 * value:.1f}%")  # noqa: PLR2004 - two digits


def count(value: float, noun: str) -> str:
    """Write how many there are of something: 1 batch, 2 batches."""
    plural = f"{noun}es" if noun.endswith(("s", "ch", "x")) else f"{noun}s"
    return f"{value:,.0f} {noun if value == 1 else plural}"


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")
