"""Whether batches are mixed in the embedding as much as they should be."""

from collections.abc import Sequence

from unbatch.core.diagnostics.verdicts.verdict import Verdict

MOST_UNMIXED, MOST_OVERMIXED = 0.2, 0.2


def judge_mixing(
    *,
    batches: Sequence[str],
    before: Sequence[float],
    after: Sequence[float],
    expected: Sequence[float],
    elsewhere: Sequence[float],
) -> Verdict:
    """Say whether neighbours in the embedding are of other batches as often as they should be, and not more often.

    Parameters
    ----------
    batches
        Names of the batches.
    before, after
        Mean share of a cell's neighbours that are of its own batch.
    expected
        What it would be if batches were mixed at random within states.
    elsewhere
        Mean share of the batch among the neighbours of cells of other batches in the same states. It tells whether a
        batch is apart, for it knows of density: where batches are mixed, deep cells have deep neighbours, as shallow
        ones do. Batches that are drawn together too much are told by `expected`.
    """
    excess = [own - other for own, other in zip(after, elsewhere, strict=True)]
    worst, n = max(range(len(batches)), key=lambda at: excess[at]), len(batches)
    now, due = sum(after) / n, sum(expected) / n
    text = (
        f"{now:.0%} of a cell's neighbours are of its own batch, {due:.0%} if batches were mixed within states "
        f"({sum(before) / n:.0%} before)"
    )
    if excess[worst] > MOST_UNMIXED:
        return Verdict(
            "mixing",
            "look here",
            excess[worst],
            MOST_UNMIXED,
            f"{text}; most apart is {batches[worst]!r} ({after[worst]:.0%} of the neighbours of its cells are of it, "
            f"{elsewhere[worst]:.0%} of those of like cells of other batches)",
            "What is left is particular to some cell states, or biology: see overlap and remainder",
        )
    if due > 0 and (due - now) / due > MOST_OVERMIXED:
        return Verdict(
            "mixing",
            "look here",
            (due - now) / due,
            MOST_OVERMIXED,
            f"{text}: more mixed than their states allow",
            "X_unbatch may have drawn together what differs by biology, as gradual changes do: try the probes",
        )
    return Verdict("mixing", "fine", excess[worst], MOST_UNMIXED, text)
