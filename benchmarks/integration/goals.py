"""What was set out to be reached, and what is."""

from dataclasses import dataclass

import pandas as pd

from integration.methods import BASELINE, PEERS

AHEAD = 0.03
"""Mean total above that of the best peer."""
HARMONY_SETS = 9 / 11
"""Share of the sets on which the total is at least that of Harmony."""
BIO_LOSS = 0.01
"""Most that the biology score may be below that of uncorrected PCA, on any set."""
COVERAGE = 0.94
"""Least share of the intervals that hold the truth when a batch is split: 95%, rounded."""
KEPT = 0.95
"""Least share of neighbours kept under a split, relative to that kept under another seed, on any set."""
MERGED = 0.10
"""A type has merged into others if its cells lose more than this share of neighbours of their own type."""


@dataclass(frozen=True)
class Goal:
    """One goal, what was measured of it in words, and whether it is met."""

    goal: str
    measured: str
    met: bool


def of_scores(scores: pd.DataFrame, method: str) -> list[Goal]:
    """Judge a method by its scores. The best peer is one that has a score on every set that the method has."""
    total, bio = (_table(scores, column) for column in ("total", "bio"))
    if method not in total:
        return []
    ahead = {peer: (total[method] - total[peer]).dropna() for peer in PEERS if peer in total}
    complete = [peer for peer in ahead if len(ahead[peer]) == total[method].count()]
    goals = []
    if complete:
        best = min(complete, key=lambda peer: ahead[peer].mean())
        others = {peer: gap for peer, gap in ahead.items() if peer not in complete and len(gap)}
        rest = [f"{gap.mean():+.3f} to {peer} on the {len(gap)} that it has" for peer, gap in others.items()]
        words = "; ".join([f"{ahead[best].mean():+.3f} to {best}", *rest])
        met = bool(ahead[best].mean() >= AHEAD)
        goals.append(Goal(f"mean total at least {AHEAD} above the best peer's", words, met))
    if "harmony" in ahead:
        wins, n = int((ahead["harmony"] >= 0).sum()), len(ahead["harmony"])
        goals.append(Goal("at least as good as Harmony on 9 of 11 sets", f"{wins} of {n}", wins >= HARMONY_SETS * n))
    if BASELINE in bio:
        gap = (bio[method] - bio[BASELINE]).dropna()
        words = f"worst: {gap.min():+.3f} ({gap.idxmin()}); below on {int((gap < -BIO_LOSS).sum())} of {len(gap)}"
        goals.append(Goal(f"biology never more than {BIO_LOSS} below PCA's", words, bool(gap.min() >= -BIO_LOSS)))
    return goals


def of_splits(splits: pd.DataFrame, covered: pd.DataFrame, method: str) -> list[Goal]:
    """Judge a method by what a random split of a batch changes."""
    goals = []
    own = splits[splits["method"] == method].set_index("set")
    if len(own):
        ratio = own["split"] / own["seeds"]
        words = f"worst: {ratio.min():.3f} ({ratio.idxmin()}); {int((ratio >= KEPT).sum())} of {len(ratio)} sets"
        goals.append(Goal(f"a batch split: {KEPT:.0%} of neighbours kept", words, bool(ratio.min() >= KEPT)))
    if len(covered):
        by_set = covered.groupby("set")["coverage"].mean()
        words = f"worst: {by_set.min():.3f} ({by_set.idxmin()})"
        goals.append(Goal("a batch split: effect 1 within 95% of its intervals", words, bool(by_set.min() >= COVERAGE)))
    return goals


def of_removals(removed: pd.DataFrame, method: str) -> list[Goal]:
    """Judge a method by what becomes of types that a batch lost."""
    own = removed[removed["method"] == method]
    if not len(own):
        return []
    worst = own.loc[own["loss"].idxmax()]
    merged = int((own["loss"] > MERGED).sum())
    words = f"{merged} of {len(own)} merge; worst: {worst['label']} into {worst['into']}, -{worst['loss']:.2f}"
    return [Goal("a type removed from a batch: none merges into another", f"{words} ({worst['set']})", merged == 0)]


def _table(scores: pd.DataFrame, column: str) -> pd.DataFrame:
    return scores.pivot_table(index="set", columns="method", values=column, sort=False)
