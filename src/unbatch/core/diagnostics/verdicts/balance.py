"""Whether matched cells of batches are alike after correction."""

from collections.abc import Sequence

from unbatch.core.diagnostics.verdicts.verdict import MOST_LEFT, Verdict

MOST_IMBALANCE = 0.1
"""Root mean square standardised difference, beyond chance, that is balanced: the usual bound of causal inference."""
HARDLY_BETTER, GROSS_IMBALANCE = 0.5, 0.25


def judge_balance(
    *, pairs: Sequence[str], before: Sequence[float], after: Sequence[float], finer: bool = False
) -> Verdict:
    """Say whether matched cells of batches are alike after correction.

    Strong effects leave some imbalance of log counts even if they are divided out exactly, since counts that were
    multiplied are more or less noisy than the others: a quarter of what there was is let pass.

    Parameters
    ----------
    pairs
        Names of the pairs of batches.
    before, after
        Root mean square of the standardised differences of genes beyond chance.
    finer
        Whether there are cells enough for more states, which `max_states` does not allow.
    """
    if not pairs:
        return Verdict(
            "balance", "do not trust", 0.0, MOST_IMBALANCE, "No two batches have matched cells", "See overlap"
        )
    bounds = [max(MOST_IMBALANCE, MOST_LEFT * was) for was in before]
    worst = max(range(len(pairs)), key=lambda at: after[at] / bounds[at])
    value, bound = after[worst], bounds[worst]
    text = (
        f"Matched cells differ by {_median(after):.2f} standard deviations beyond chance, {_median(before):.2f} before "
        f"correction"
    )
    if value <= bound:
        return Verdict("balance", "fine", value, bound, text)
    left = f"{text}; still {value:.2f} ({before[worst]:.2f}) in {pairs[worst]}"
    gross = _median(after) > max(GROSS_IMBALANCE, HARDLY_BETTER * _median(before))
    return Verdict(
        "balance",
        "do not trust" if gross else "look here",
        value,
        bound,
        left,
        "Cells that were compared are not alike, or effects differ between states: see remainder"
        + (", raise max_states" if finer else ""),
    )


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
