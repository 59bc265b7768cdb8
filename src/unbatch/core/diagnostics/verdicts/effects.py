"""What is known of the effects."""

from collections.abc import Sequence
from math import exp

from unbatch.core.diagnostics.verdicts.verdict import Verdict, first_few

MOST_UNKNOWN = 0.5


def judge_effects(*, known: float, strong: int, median: float | None, families: Sequence[str]) -> Verdict:
    """Say what is known of the effects.

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
    return Verdict("effects", "fine", median or 0.0, MOST_UNKNOWN, text)
