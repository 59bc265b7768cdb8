"""Probes: is the method deceived by a batch that is none, or by a kind of cell that a batch does not have."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from unbatch._check import InputWarning
from unbatch._progress import Progress, Silent
from unbatch._threads import unwarned
from unbatch._types import BoolArray, CodeArray, FloatArray, IntArray
from unbatch.core.contrasts import difference_errors
from unbatch.core.diagnostics.matches import share_among_neighbors
from unbatch.core.diagnostics.verdicts import Verdict, judge_probe, judge_probes
from unbatch.fitted import BatchFit
from unbatch.io.batches import Batches
from unbatch.io.source import open_counts
from unbatch.methods import MethodOptions, MethodResult, find_method, options_for, own_options
from unbatch.methods.checked import CheckedCells

_SPLITS, _REMOVED_BATCHES, _REMOVED_GROUPS = 3, 2, 2
_LEAST_CELLS = 60
_LEAST_GROUP, _MOST_GROUP = 20, 0.6
_MOST_KINDS = 8
_TINY = 1e-12
_SURE = 1.96
_WELL_MEASURED = 50.0
SPLIT_EXPECTED = 0.05


@dataclass(frozen=True, eq=False)
class Refits:
    """Cells to be fitted again, as they were.

    Attributes
    ----------
    counts
        AnnData of their counts on the genes that all batches measured.
    batch
        (n_cells,) batch of each cell.
    level
        (n_cells,) condition of each cell; None without one.
    state
        (n_cells,) coarse group of states that each cell was found in; -1 without one.
    names
        Names of the batches.
    options
        How they were fitted.
    control_genes
        (n_genes,) genes known to carry technical variation only; None without any.
    seed
        Start of random numbers.
    """

    counts: AnnData
    batch: CodeArray
    level: CodeArray | None
    state: CodeArray
    names: tuple[str, ...]
    options: MethodOptions
    control_genes: BoolArray | None
    seed: int

    @classmethod
    def of(cls, fit: BatchFit, checked: CheckedCells, *, batch: CodeArray, level: CodeArray | None) -> "Refits":
        """Put the cells together: see `unbatch.diagnosing.diagnose_fit`."""
        own = own_options(fit.parameters)
        shared = np.flatnonzero(fit.measured[:, np.unique(batch[checked.rows])].all(axis=1))
        genes = pd.Index([str(number) for number in range(len(shared))])
        cells = pd.DataFrame(index=[str(number) for number in range(len(checked.rows))])
        controls = fit.var.index.isin(fit.control_genes)[shared] if fit.control_genes else None
        return cls(
            counts=AnnData(X=checked.counts[:, shared], obs=cells, var=pd.DataFrame(index=genes)),
            batch=np.asarray(batch[checked.rows], dtype=np.int32),
            level=None if level is None else level[checked.rows],
            state=_coarse(fit, checked.rows),
            names=fit.batches,
            options=options_for(fit.method, own),
            control_genes=controls,
            seed=int(fit.parameters["seed"]),
        )

    def fit(self, cells: IntArray, batch: CodeArray, n_batches: int) -> MethodResult:
        """Fit some of the cells, with these batches, (n_cells,) of all cells."""
        design: dict[str, Any] = {}
        if self.level is not None:
            design["within"] = self.level[cells]
        if self.control_genes is not None:
            design["control_genes"] = self.control_genes
        levels = tuple(str(number) for number in range(n_batches))
        with unwarned(InputWarning):  # of batches that cannot be compared, known from the fit
            return find_method(self.options).fit(
                open_counts(self.counts[cells]),
                Batches(batch[cells], levels, 1),
                self.options,
                seed=self.seed,
                progress=Silent(),
                **design,
            )


def _coarse(fit: BatchFit, rows: IntArray) -> CodeArray:
    """Group the states of a fit into few kinds, as many as lie farthest apart for their width."""
    from scipy.cluster.hierarchy import fcluster, linkage

    if fit.sample is None or fit.embedding is None:
        return np.full(len(rows), -1, dtype=np.int32)
    sample = fit.sample[rows]
    states = np.unique(sample[sample >= 0])
    if len(states) < 2:  # noqa: PLR2004
        return np.where(sample >= 0, 0, -1).astype(np.int32)
    where = fit.embedding[rows].astype(np.float64)
    centres = np.stack([where[sample == state].mean(axis=0) for state in states])
    tree = linkage(centres, method="ward")
    height = tree[::-1, 2][: _MOST_KINDS + 1]  # that at which 2 groups become 1, 3 become 2, ...
    n_kinds = 2 + int(np.argmax(height[:-1] / np.maximum(height[1:], _TINY))) if len(height) > 1 else 2
    kind = fcluster(tree, t=n_kinds, criterion="maxclust") - 1
    place = np.searchsorted(states, np.maximum(sample, states[0]))
    return np.where(sample >= 0, kind[np.minimum(place, len(states) - 1)], -1).astype(np.int32)


def probe_table(refits: Refits, progress: Progress) -> pd.DataFrame:
    """Fit cells again with something known about them.

    *split*: the cells of a batch are divided at random into two batches, between which there is no effect. The value is
    the share of well-measured genes that are found to differ (z beyond 1.96), 5% by chance.

    *removed*: the cells of a kind (some neighbouring states) are taken out of a batch. The value is the share of that
    batch among the nearest neighbours, in the embedding, of the cells of that kind elsewhere; what is expected is the
    same share without the removed cells in a fit that has them. Where it is larger, cells of another kind were drawn
    there.

    Parameters
    ----------
    refits
        The cells.
    progress
        Told of each fit.

    Returns
    -------
    Columns probe, batch, state_or_label, value, expected, verdict. Empty if there are too few cells to probe with.
    """
    sizes = np.bincount(refits.batch, minlength=len(refits.names))
    large = np.argsort(-sizes, kind="stable")
    large = large[sizes[large] >= _LEAST_CELLS]
    removals = [(int(k), kind) for k in large[:_REMOVED_BATCHES] for kind in _kinds(refits, int(k))[:_REMOVED_GROUPS]]
    rows: list[tuple[str, str, str, float, float, str]] = []
    with progress.stage("probing", total=len(large[:_SPLITS]) + len(removals) + bool(removals)) as advance:
        for k in large[:_SPLITS]:
            value = _split(refits, int(k))
            rows.append(
                ("split", refits.names[k], "", value, SPLIT_EXPECTED, judge_probe("split", value, SPLIT_EXPECTED))
            )
            advance(1)
        if removals:
            every = np.arange(len(refits.batch))
            base = refits.fit(every, refits.batch, len(refits.names))
            advance(1)
            for k, kind in removals:
                value, expected = _removed(refits, base, k, kind)
                verdict = judge_probe("removed", value, expected)
                rows.append(("removed", refits.names[k], f"kind {kind + 1}", value, expected, verdict))
                advance(1)
    return pd.DataFrame(rows, columns=["probe", "batch", "state_or_label", "value", "expected", "verdict"])


def probe_verdict(table: pd.DataFrame) -> Verdict:
    """Come to a verdict on all probes."""
    return judge_probes(
        verdicts=table["verdict"].tolist(),
        values=table["value"].tolist(),
        expected=table["expected"].tolist(),
        names=[
            f"{row.probe} {row.batch!r}" + (f", {row.state_or_label}" if row.state_or_label else "")
            for row in table.itertuples(index=False)
        ],
    )


def _kinds(refits: Refits, k: int) -> list[int]:
    """Kinds of cells that a batch shares with others and can do without, the largest first."""
    kinds = np.unique(refits.state[refits.state >= 0])
    mine = refits.batch == k
    here = np.array([(mine & (refits.state == kind)).sum() for kind in kinds])
    there = np.array([(~mine & (refits.state == kind)).sum() for kind in kinds])
    able = (here >= _LEAST_GROUP) & (there >= _LEAST_GROUP) & (here <= _MOST_GROUP * mine.sum())
    order = np.argsort(-here, kind="stable")
    return [int(kinds[place]) for place in order if able[place]]


def _split(refits: Refits, k: int) -> float:
    n_batches = len(refits.names)
    rng = np.random.default_rng(np.random.SeedSequence(refits.seed, spawn_key=(32, k)))
    members = rng.permutation(np.flatnonzero(refits.batch == k))
    batch = refits.batch.copy()
    batch[members[: len(members) // 2]] = n_batches
    found = refits.fit(np.arange(len(batch)), batch, n_batches + 1)
    counts = np.asarray(refits.counts.X[np.sort(members)].sum(axis=0)).ravel()
    return _called(found, k, n_batches, counts, centred=find_method(refits.options).centred_se)


def _called(found: MethodResult, own: int, other: int, counts: FloatArray, *, centred: bool) -> float:
    """Share of well-measured genes whose effects in two batches differ by more than chance."""
    known = found.informative[:, own] & found.informative[:, other] & (counts >= _WELL_MEASURED)
    if not known.any():
        return 0.0
    group = None if found.landmarks is None else found.landmarks.group
    se = np.where(found.informative, found.se, np.inf)
    error = difference_errors(se, versus=other, group=group)[:, own] if centred else np.hypot(se[:, own], se[:, other])
    difference = found.log_delta[:, own] - found.log_delta[:, other]
    difference = difference[known] - np.median(difference[known])
    return float((np.abs(difference) > _SURE * error[known]).mean())


def _removed(refits: Refits, base: MethodResult, k: int, kind: int) -> tuple[float, float]:
    gone = (refits.batch == k) & (refits.state == kind)
    left = np.flatnonzero(~gone)
    found = refits.fit(left, refits.batch, len(refits.names))
    asked = (refits.state == kind)[left]
    theirs = (refits.batch == k)[left]
    assert found.embedding is not None
    assert base.embedding is not None
    return (
        share_among_neighbors(found.embedding, asked=asked, counted=theirs),
        share_among_neighbors(base.embedding[left], asked=asked, counted=theirs),
    )
