"""Whether batches share cell states."""

from collections.abc import Sequence

from unbatch.core.diagnostics.verdicts.verdict import Verdict, named

LEAST_SHARED = 0.5
HARDLY_SHARED = 0.1
MOST_ALONE = 0.2
ONE_PLACE = 0.25
"""Variance between the states that a batch shares, over that of all states: below it, they are one place."""
LEAST_BETWEEN = 0.6
"""What blocks of batches share with each other, over what they share within."""
_NO_LEVEL = "They share no level of the condition (match_within): add a batch that holds levels of both"


def judge_overlap(
    *,
    batches: Sequence[str],
    shared: Sequence[float],
    unidentifiable: Sequence[str],
    alone: float,
    n_alone: int,
    spread: Sequence[float] = (),
    groups: Sequence[Sequence[str]] = (),
    blocks: tuple[Sequence[str], Sequence[str], float, float] | None = None,
    parted: Sequence[str] = (),
) -> Verdict:
    """Say whether batches share cell states.

    Parameters
    ----------
    batches
        Names of the batches that take part.
    shared
        Share of the cells of each that have counterparts in some other batch.
    unidentifiable
        Batches of which no effect is known.
    alone
        Share of all cells in states that are compared with nothing.
    n_alone
        Number of these states.
    spread
        Variance between the states that each batch shares with others, over that between all states, if it is known.
    groups
        Batches of each group that can be compared, if there are several.
    blocks
        Batches of two blocks, the share of cells with counterparts in the other block, and in the own one.
    parted
        Batches that share no level of the condition that cells are compared inside with the largest group of batches.
    """
    least = min(shared, default=0.0)
    lowest = [name for name, share in zip(batches, shared, strict=True) if share < HARDLY_SHARED]
    lonely = list(dict.fromkeys([*unidentifiable, *lowest]))
    if lonely:
        return Verdict(
            "overlap",
            "do not trust",
            least,
            HARDLY_SHARED,
            f"{len(lonely)} of {len(batches)} batches stand alone: {named(lonely)} "
            f"(counterparts elsewhere for {least:.0%} of the cells)",
            f"{_NO_LEVEL}, or fit without match_within"
            if set(lonely) <= set(parted)
            else "Leave these batches out, or add a batch that shares their cell types",
        )
    thin = [name for name, share in zip(batches, shared, strict=True) if share < LEAST_SHARED]
    in_one_place = {name for name, width in zip(batches, spread, strict=bool(spread)) if width < ONE_PLACE}
    doubtful = [name for name in thin if name in in_one_place]
    if doubtful:
        return Verdict(
            "overlap",
            "do not trust",
            least,
            LEAST_SHARED,
            f"{len(doubtful)} of {len(batches)} batches are compared with others in one kind of cells only, less than "
            f"half of their own: {named(doubtful)}. A difference of two cell types would look just like their effects",
            "Make sure by marker genes that these cells are of one type in all batches, or leave these batches out",
        )
    if thin:
        return Verdict(
            "overlap",
            "look here",
            least,
            LEAST_SHARED,
            f"{len(thin)} of {len(batches)} batches have counterparts for less than half of their cells: {named(thin)} "
            f"({least:.0%} at least)",
            "Their effects rest on the states that they share: see get.diagnostics(adata, 'overlap_states')",
        )
    apart = _apart(groups, blocks, parted)
    if apart:
        return apart
    if alone > MOST_ALONE:
        return Verdict(
            "overlap",
            "look here",
            alone,
            MOST_ALONE,
            f"{alone:.0%} of the cells are in {n_alone} states of one batch each",
            "See get.diagnostics(adata, 'overlap_states'); the effects are extrapolated to these states",
        )
    return Verdict(
        "overlap",
        "fine",
        least,
        LEAST_SHARED,
        f"Each batch has counterparts for at least {least:.0%} of its cells",
    )


def _apart(
    groups: Sequence[Sequence[str]],
    blocks: tuple[Sequence[str], Sequence[str], float, float] | None,
    parted: Sequence[str],
) -> Verdict | None:
    if len(groups) > 1:
        listed = "; ".join(named(names) for names in groups)
        return Verdict(
            "overlap",
            "look here",
            0.0,
            LEAST_BETWEEN,
            f"Batches fall into {len(groups)} groups without a common state ({listed}): effects are relative to the "
            "mean of each group",
            f"Compare batches of one group only. {_NO_LEVEL}"
            if parted
            else "Compare batches of one group only, or add a batch that shares cell types with several",
        )
    if blocks is None or blocks[2] >= LEAST_BETWEEN * blocks[3]:
        return None
    first, second, between, within = blocks
    return Verdict(
        "overlap",
        "look here",
        between / within,
        LEAST_BETWEEN,
        f"Two blocks of batches ({named(first)}; {named(second)}) have counterparts in each other for {between:.0%} of "
        f"their cells, within for {within:.0%}. What differs between them rests on these cells, and a difference of "
        "two cell types would look just like it",
        "Make sure by marker genes that the cells that both have are of one type, or fit each block by itself",
    )
