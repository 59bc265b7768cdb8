"""Names as a figure can show them: short, on one line, in letters that the font has, each its own."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST = 28
"""Letters of a name at most."""
_GAP = "…"
_NAMELESS = "(no name)"


def legible(name: str, *, longest: int = LONGEST) -> str:
    """Give the form in which a name is drawn.

    Line breaks and other control characters become spaces, a letter that the font lacks its code point (``[1F9EC]``),
    and what is too long is cut in the middle, since names tend to differ at their ends.

    Parameters
    ----------
    name
        Anything.
    longest
        Letters at most; larger numbers leave less room for the data.
    """
    start, end = name[:longest], name[longest:][-longest:]  # no work on the rest of ten thousand letters
    known = _letters(_fonts())
    written, last = ("".join(_letter(letter, known) for letter in part) for part in (start, end))
    whole = written + last
    if len(name) > 2 * longest or len(whole.strip()) > longest:
        tail = (longest - 1) // 2
        return (whole[: longest - 1 - tail].lstrip() + _GAP + whole[-tail:].rstrip()).strip()
    return whole.strip() or _NAMELESS


def legible_names(names: Iterable[str], *, longest: int = LONGEST) -> list[str]:
    """Give the forms in which several names are drawn; those that would look the same are numbered.

    Parameters
    ----------
    names
        Names, in the order in which they are drawn.
    longest
        Letters at most of each, without its number.
    """
    names = [str(name) for name in names]
    short = [legible(name, longest=longest) for name in names]
    meanings: dict[str, list[str]] = {}
    for form, name in zip(short, names, strict=True):
        known = meanings.setdefault(form, [])
        if name not in known:
            known.append(name)
    return [
        form if len(meanings[form]) == 1 else f"{form} #{meanings[form].index(name) + 1}"
        for form, name in zip(short, names, strict=True)
    ]


def _letter(letter: str, known: frozenset[int]) -> str:
    if letter.isspace() or unicodedata.category(letter) == "Cc":
        return " "
    if ord(letter) not in known or unicodedata.category(letter)[0] == "C":
        return f"[{ord(letter):X}]"
    return letter


def _fonts() -> tuple[str, ...]:
    """Files of the fonts that text is drawn with now."""
    from matplotlib.font_manager import FontProperties, findfont

    families = FontProperties().get_family()
    return tuple(findfont(FontProperties(family=[family])) for family in families)


@lru_cache(maxsize=8)
def _letters(fonts: tuple[str, ...]) -> frozenset[int]:
    """Code points that one of the fonts can draw."""
    from matplotlib.font_manager import get_font

    return frozenset().union(*(get_font(font).get_charmap() for font in fonts))
