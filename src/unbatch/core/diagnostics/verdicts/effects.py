"""What is known of the effects."""

from collections.abc import Sequence
from math import exp

from unbatch.core.diagnostics.verdicts.verdict import Verdict, first_few

MOST_UNKNOWN = 0.5
MOST_ALONG = 0.65
"""Share of the effects of a batch that may lie along the axes on which cells differ. Eleven real sets have up to 0.53
(the batch is stimulation by interferon, which cells answer more or less), simulated ones up to 0.63 (ambient counts,
which are those of types), but for two in which types were taken for each other: 0.71 and 0.75."""


def judge_effects(
    *,
    known: float,
    strong: int,
    median: float | None,
    families: Sequence[str],
    batches: Sequence[str] = (),
    along: Sequence[float] = (),
) -> Verdict:
    """Say what is known of the effects, and whether they look like differences between types of cells.

    Parameters
    ----------
    known
        Share of the effects of genes and batches, of those that were counted, that are known.
    strong
        Number of genes and batches whose effect differs from none (q < 0.05).
    median
        Median of the absolute log effects of well-measured genes; None if there are none.
    families
        Technical families that are shifted, in words.
    batches, along
        Names of batches, and the share of the effects of each that lie along the axes on which cells differ.
    """
    text = f"{strong:,} effects differ from none (q < 0.05)"
    if median is not None:
        text += f"; the median of well-measured genes is x or / {exp(median):.2f}"
    if families:
        text += f"; {first_few(families)}"
    if known < 1 - MOST_UNKNOWN:
        return Verdict(
            "effects",
            "look here",
            1 - known,
            MOST_UNKNOWN,
            f"{1 - known:.0%} of the effects are unknown and stay 1; {text}",
            "Genes that one batch alone has, or batches that stand alone: see overlap",
        )
    of_types = sorted((-share, name) for name, share in zip(batches, along, strict=True) if share > MOST_ALONG)
    if of_types:
        most, name = -of_types[0][0], of_types[0][1]
        return Verdict(
            "effects",
            "look here",
            most,
            MOST_ALONG,
            f"{most:.0%} of the effects of {name!r} lie along the axes on which cells differ, as if one type were "
            f"compared with another (so with {len(of_types)} of {len(batches)} batches); {text}",
            "See whether the strongest are marker genes; if types are known, compare within them (match_within)",
        )
    return Verdict("effects", "fine", median or 0.0, MOST_UNKNOWN, text)
