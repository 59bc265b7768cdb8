"""Verdicts: one line each, with the number behind it and what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp
from typing import Literal, TypeAlias

Judgement: TypeAlias = Literal["fine", "look here", "do not trust"]

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
    return _first([repr(str(name)) for name in names])


def _first(words: Sequence[str]) -> str:
    shown = ", ".join(words[:_SHOWN])
    return shown if len(words) <= _SHOWN else f"{shown} and {len(words) - _SHOWN} more"


LEAST_EXCESS = 0.005
"""Share of the variance within states, beyond chance, from which on batches explain something worth taking out."""
MOST_LEFT = 0.25
"""Share of what there was before that may be left after correction."""
LEAST_COMPARED = 0.5


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


LEAST_SHARED = 0.5
HARDLY_SHARED = 0.1
MOST_ALONE = 0.2
ONE_PLACE = 0.25
"""Variance between the states that a batch shares, over that of all states: below it, they are one place."""
LEAST_BETWEEN = 0.6
"""What blocks of batches share with each other, over what they share within."""


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
            "Leave these batches out, or add a batch that shares their cell types",
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
    parted = _parted(groups, blocks)
    if parted:
        return parted
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


def _parted(
    groups: Sequence[Sequence[str]], blocks: tuple[Sequence[str], Sequence[str], float, float] | None
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
            "Compare batches of one group only, or add a batch that shares cell types with several",
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


MOST_IMBALANCE = 0.1
"""Root mean square standardised difference, beyond chance, that is balanced: the usual bound of causal inference."""
HARDLY_BETTER, GROSS_IMBALANCE = 0.5, 0.25


def judge_balance(*, pairs: Sequence[str], before: Sequence[float], after: Sequence[float]) -> Verdict:
    """Say whether matched cells of batches are alike after correction.

    Strong effects leave some imbalance of log counts even if they are divided out exactly, since counts that were
    multiplied are more or less noisy than the others: a quarter of what there was is let pass.

    Parameters
    ----------
    pairs
        Names of the pairs of batches.
    before, after
        Root mean square of the standardised differences of genes beyond chance.
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
        "Cells that were compared are not alike, or effects differ between states: see remainder, raise max_states",
    )


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


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


MOST_REMAINDER, GROSS_REMAINDER = 0.2, 0.5
MOST_DIFFERING = 0.25


def judge_remainder(*, sd: float, differing: float, n_genes: int, where: str, compared: float) -> Verdict:
    """Say whether a batch acts on single states in its own way.

    Where most cells are compared with nothing this cannot be seen: a batch that alters states so much that its cells
    are taken for other ones leaves no state to see it in.

    Parameters
    ----------
    sd
        Usual standard deviation of the effects of states, on a natural log scale.
    differing
        Share of the genes whose effects differ from state to state (q < 0.05).
    n_genes
        Number of genes that were looked at.
    where
        State and batch that depart most, in words; "" if no two batches are compared in any state.
    compared
        Share of the cells in states with another batch.
    """
    if not where:
        cannot = "No two batches are compared in any state: how effects differ between states cannot be told"
        return Verdict("remainder", "look here", 0.0, MOST_DIFFERING, cannot, "See overlap")
    text = (
        f"Effects of a batch differ from state to state by x or / {exp(sd):.2f} as a rule, surely (q < 0.05) in "
        f"{differing:.0%} of {n_genes:,} genes"
    )
    where = f", most in {where}"
    cure = "One factor per gene and batch does not describe this: fit with state_specific, or with match_within"
    if sd > GROSS_REMAINDER:
        return Verdict("remainder", "do not trust", sd, GROSS_REMAINDER, text + where, cure)
    if sd > MOST_REMAINDER:
        return Verdict("remainder", "look here", sd, MOST_REMAINDER, text + where, cure)
    if differing > MOST_DIFFERING:
        return Verdict("remainder", "look here", differing, MOST_DIFFERING, text + where, cure)
    if compared < LEAST_COMPARED:
        few = f"; but only {compared:.0%} of the cells are in a state with another batch, and the others tell nothing"
        seen = "Look at overlap first: a batch that alters states much may have its cells taken for others"
        return Verdict("remainder", "look here", compared, LEAST_COMPARED, text + few, seen)
    return Verdict("remainder", "fine", differing, MOST_DIFFERING, text)


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
        text += f"; {_first(families)}"
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


def judge_convergence(*, stop_reason: str, n_rounds: int, change: float, tol: float) -> Verdict:
    """Say whether the iterations settled.

    Parameters
    ----------
    stop_reason
        Why they ended.
    n_rounds
        How many there were.
    change
        How far log effects moved in the last one.
    tol
        What ends them.
    """
    if stop_reason == "converged":
        return Verdict("convergence", "fine", change, tol, f"Effects settled after {n_rounds} rounds")
    if stop_reason == "nothing shared":
        return Verdict(
            "convergence",
            "do not trust",
            change,
            tol,
            "No two batches share a cell state: no effect was estimated",
            "Give batches that share cell types; raise caliper or max_states if they do",
        )
    return Verdict(
        "convergence",
        "look here",
        change,
        tol,
        f"Effects still moved by {change:.3f} in round {n_rounds}",
        "Fit again with more rounds (max_rounds, max_iter)",
    )


MOST_CALLED, GROSSLY_CALLED = 0.1, 0.25
MOST_DRAWN, GROSSLY_DRAWN = 0.1, 0.3


def judge_probe(probe: str, value: float, expected: float) -> Judgement:
    """Say what one probe comes to.

    Parameters
    ----------
    probe
        "split" or "removed".
    value
        What was found.
    expected
        What is right: of a split, the share that chance calls; of a removal, the share of neighbours.
    """
    some, gross = (MOST_CALLED, GROSSLY_CALLED) if probe == "split" else (MOST_DRAWN, GROSSLY_DRAWN)
    beyond = value if probe == "split" else value - expected
    if beyond > gross:
        return "do not trust"
    return "look here" if beyond > some else "fine"


def judge_probes(
    *, verdicts: Sequence[Judgement], values: Sequence[float], expected: Sequence[float], names: Sequence[str]
) -> Verdict:
    """Say what all probes come to: the worst of them.

    Parameters
    ----------
    verdicts, values, expected, names
        Of each probe.
    """
    if not verdicts:
        return Verdict(
            "probes", "look here", 0.0, MOST_CALLED, "Too few cells to probe with", "Judge by the other checks"
        )
    order: list[Judgement] = ["fine", "look here", "do not trust"]
    worst = max(range(len(verdicts)), key=lambda at: (order.index(verdicts[at]), values[at] - expected[at]))
    n_fine = sum(verdict == "fine" for verdict in verdicts)
    text = (
        f"{n_fine} of {len(verdicts)} probes pass; furthest off is {names[worst]}: {values[worst]:.0%} where "
        f"{expected[worst]:.0%} are right"
    )
    cure = "" if verdicts[worst] == "fine" else "See get.diagnostics(adata, 'probes')"
    return Verdict("probes", verdicts[worst], values[worst], expected[worst], text, cure)
