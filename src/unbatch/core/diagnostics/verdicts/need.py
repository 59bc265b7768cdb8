"""Whether a correction was needed, and whether it did its work on genes."""

from collections.abc import Sequence

from unbatch.core.diagnostics.verdicts.verdict import LEAST_COMPARED, MOST_LEFT, Verdict, named

LEAST_EXCESS = 0.005
"""Share of the variance within states, beyond chance, from which on batches explain something worth taking out."""


def judge_need(
    *,
    explained: float,
    null: float,
    null_upper: float,
    after: float,
    compared: float,
    outstanding: Sequence[str] = (),
) -> Verdict:
    """Say whether a correction was needed, and whether it did its work on genes.

    Parameters
    ----------
    explained
        Share of the variance within states that the batch explains before correction.
    null, null_upper
        Its mean under permuted batches, and the 95% end.
    after
        The share after correction.
    compared
        Share of the cells in states with another batch.
    outstanding
        Genes of whose variance the batch explains much, most of all first.
    """
    if compared == 0 or null <= 0:
        return Verdict(
            "need",
            "do not trust",
            explained,
            null_upper,
            "No cell is in a state with another batch: whether a correction is needed cannot be told",
            "Give batches that share cell types, or do not correct",
        )
    bound = max(null_upper, null + LEAST_EXCESS)
    by_chance = f"({null:.2%} if batches were exchanged at random)"
    if compared < LEAST_COMPARED:
        return Verdict(
            "need",
            "look here",
            compared,
            LEAST_COMPARED,
            f"Only {compared:.0%} of the cells are in a state with another batch; of their variance the batch explains "
            f"{explained:.2%} {by_chance}",
            "Look at overlap first",
        )
    if explained <= bound:
        return Verdict(
            "need",
            "fine",
            explained,
            bound,
            f"Not needed: batches explain {explained:.2%} of the variance of genes within cell states {by_chance}"
            + (f"; single genes stand out: {named(outstanding)}" if outstanding else ""),
        )
    most_left = null + max(MOST_LEFT * (explained - null), LEAST_EXCESS)
    if after > most_left:
        return Verdict(
            "need",
            "look here",
            after,
            most_left,
            f"Needed, and not enough: batches explain {explained:.2%} of the variance of genes within cell states and "
            f"still {after:.2%} after correction {by_chance}",
            "Look at balance and remainder: effects may differ from state to state",
        )
    return Verdict(
        "need",
        "fine",
        explained,
        bound,
        f"Needed: batches explain {explained:.2%} of the variance of genes within cell states, {after:.2%} after "
        f"correction {by_chance}",
    )
