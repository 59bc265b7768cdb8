"""Real counts with known effects.

The cells of one real batch are split into pseudo-batches of different composition, and their counts are thinned
binomially: what is left of a count is what a batch with that capture rate would have seen. Only the effect is made;
expression, noise and cell states are real. All genes are affected alike, or one in ten and these more, as real batches
differ: few genes by much, most by little; or all, and each type of cells besides in its own way; or all, and batches
of a kind, as of one protocol, almost in the same way. Or all are, of a panel of few genes with few counts in a cell.
"""

import filecmp
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

from accuracy.problem import Problem, largest_component, make_problem
from unbatch._types import CodeArray, Counts, FloatArray

_SHIPPED = Path(__file__).parents[2] / "src/unbatch/data/cell_lines.h5ad"

_CONCENTRATION = 0.5
_MIN_TYPES = 3
_CELLS_PER_TYPE = 20
_CELLS_PER_SPLIT = 30
_CELLS_PER_CONTRAST = 20
_LARGE = 500
"""A further batch of a file is used if it has this many cells; batches that are all smaller and many are pooled."""
_MANY_BATCHES = 10


@dataclass(frozen=True)
class Effects:
    """How effects are drawn: for a share of the genes, normal; and how far each type of cells differs from them.

    common: share of the variance that batches of a kind have in common, of two kinds.
    panel: so many of the louder genes are looked at, with so many counts in a cell (median) at most.
    """

    share: float = 1.0
    sd: float = 0.5
    by_type: float = 0.0
    common: float = 0.0
    panel: tuple[int, float] | None = None


PREFIXES = {
    "thinned:": Effects(),
    "few-affected:": Effects(share=0.1, sd=1.5),
    "state-specific:": Effects(by_type=0.25),
    "alike-batches:": Effects(common=0.8),
    "panel:": Effects(panel=(100, 100.0)),
}
_LOUDER = 2000
"""Genes with most counts, of which those of a panel are drawn."""
_FEWEST_COUNTS = 3
"""Of a cell that is looked at by a panel."""


@dataclass(frozen=True)
class Source:
    """Counts, (n_cells, n_genes), and the type of each cell."""

    counts: Counts
    cell_type: CodeArray


def list_sources(data: Path | None) -> list[str]:
    """List the names of the problems that the shipped file and the files of a folder give."""
    names = []
    for path in _files(data):
        batches = _usable_batches(path)
        names += [f"{path.stem}:{batch}" for batch in batches]
    return [f"{prefix}{name}" for prefix in PREFIXES for name in names]


def load(name: str, seed: int, data: Path | None) -> Problem:
    """Split and thin the cells that `name` stands for."""
    prefix, _, source_name = name.partition(":")
    source, how = read_source(source_name, data), PREFIXES[f"{prefix}:"]
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
    if how.panel is not None:
        source = _looked_at(source, *how.panel, rng)
    n_cells = source.counts.shape[0]
    n_batches = 2 if n_cells < 300 else 3
    if how.common or (n_cells >= 2000 and source.cell_type.max() >= 5):
        n_batches = 4
    codes = split(source.cell_type, n_batches, rng)
    log_delta, counts = affect(source.counts, codes, source.cell_type, n_batches, how, rng=rng)
    return make_problem(
        name,
        seed,
        counts=counts,
        batch=codes,
        cell_type=source.cell_type,
        log_delta_true=log_delta,
    )


def read_source(name: str, data: Path | None) -> Source:
    """Read the cells of common types of a batch of a file: the name of a problem without what is done to them."""
    stem, _, batch = name.rpartition(":")
    return _read({path.stem: path for path in _files(data)}[stem], batch)


def _files(data: Path | None) -> list[Path]:
    found = sorted(Path(data).glob("*.h5ad")) if data is not None else []
    return [_SHIPPED, *(path for path in found if not filecmp.cmp(path, _SHIPPED, shallow=False))]


def _labels(path: Path) -> pd.DataFrame:
    obs = anndata.read_h5ad(path, backed="r").obs
    return obs[["batch", "cell_type"]].astype(str) if {"batch", "cell_type"} <= set(obs) else pd.DataFrame()


@cache
def _usable_batches(path: Path) -> tuple[str, ...]:
    """Largest batch with enough labelled types, further large ones, or `all` for many small ones."""
    obs = _labels(path)
    if obs.empty:
        return ()
    table = pd.crosstab(obs["batch"], obs["cell_type"])
    sizes = table.sum(axis=1)
    if len(sizes) >= _MANY_BATCHES and sizes.max() < _LARGE:
        return ("all",)
    enough = sizes[(table >= _CELLS_PER_TYPE).sum(axis=1) >= _MIN_TYPES].sort_values(ascending=False, kind="stable")
    return tuple(str(batch) for i, (batch, n) in enumerate(enough.items()) if i == 0 or n >= _LARGE)


@cache
def _read(path: Path, batch: str) -> Source:
    adata = anndata.read_h5ad(path)
    obs = _labels(path)
    keep = np.ones(len(obs), dtype=bool) if batch == "all" else np.array(obs["batch"] == batch)
    counts_per_type = obs["cell_type"][keep].value_counts()
    common = counts_per_type.index[counts_per_type >= _CELLS_PER_TYPE]
    keep &= np.array(obs["cell_type"].isin(common))
    codes = pd.Categorical(obs["cell_type"][keep]).codes.astype(np.int32)
    return Source(sparse.csr_array(adata.X)[np.flatnonzero(keep)], codes)


def _looked_at(source: Source, n_genes: int, depth: float, rng: np.random.Generator) -> Source:
    """Draw some of the louder genes, and thin their counts."""
    louder = np.argsort(-source.counts.sum(axis=0), kind="stable")[:_LOUDER]
    counts = sparse.csr_array(source.counts[:, np.sort(rng.choice(louder, min(n_genes, len(louder)), replace=False))])
    counts = thin_evenly(counts, min(1.0, depth / max(float(np.median(counts.sum(axis=1))), 1.0)), rng)
    cells = np.flatnonzero(counts.sum(axis=1) >= _FEWEST_COUNTS)
    return Source(sparse.csr_array(counts[cells]), source.cell_type[cells])


def split(
    cell_type: CodeArray, n_batches: int, rng: np.random.Generator, *, concentration: float = _CONCENTRATION
) -> CodeArray:
    """Assign cells to batches, each type with its own shares; drawn again until every batch is usable.

    The smaller the concentration (of a Dirichlet distribution), the more do shares differ.
    """
    n_types = int(cell_type.max()) + 1
    for _ in range(1000):
        shares = rng.dirichlet(np.full(n_batches, concentration), size=n_types)
        edges = np.cumsum(shares, axis=1)[cell_type]
        codes: CodeArray = (rng.random(len(cell_type))[:, None] >= edges[:, :-1]).sum(axis=1).astype(np.int32)
        sizes = np.bincount(codes, minlength=n_batches)
        if sizes.min() >= _CELLS_PER_SPLIT and _tied(codes, cell_type, n_batches):
            return codes
    raise RuntimeError("no split found in which shared types tie the batches together")


def _tied(codes: CodeArray, cell_type: CodeArray, n_batches: int) -> bool:
    """Tell whether shared types tie all batches, each by a contrast worth at least so many cells."""
    table = np.zeros((n_batches, int(cell_type.max()) + 1))
    np.add.at(table, (codes, cell_type), 1)
    of_type = np.maximum(table.sum(axis=0), 1)
    worth = (table * (of_type - table) / of_type).sum(axis=1)
    return bool(worth.min() >= _CELLS_PER_CONTRAST and largest_component(codes, cell_type, n_batches).all())


def affect(
    counts: Counts, batch: CodeArray, cell_type: CodeArray, n_batches: int, how: Effects, *, rng: np.random.Generator
) -> tuple[FloatArray, Counts]:
    """Draw log effects, (n_genes, n_batches), and thin the counts by them.

    What types differ by from the effect of their batch is 0 on average over all cells.
    """
    shape, n_types = (counts.shape[1], n_batches), int(cell_type.max()) + 1
    log_delta = how.sd * rng.standard_normal(shape)
    if how.share < 1:
        log_delta *= rng.random(shape) < how.share
    if how.common:
        kinds = how.sd * rng.standard_normal((len(log_delta), 2))
        own = np.sqrt(1 - how.common) * log_delta
        log_delta = np.sqrt(how.common) * kinds[:, np.arange(n_batches) % 2] + own
    if not how.by_type:
        return log_delta, thin(counts, batch, log_delta, rng)
    further = how.by_type * rng.standard_normal((*shape, n_types))
    further -= np.average(further, axis=2, weights=np.bincount(cell_type))[:, :, None]
    whole = (log_delta[:, :, None] + further).reshape(shape[0], -1)
    return log_delta, thin(counts, batch * n_types + cell_type, whole, rng)


def thin_evenly(counts: Counts, kept: float, rng: np.random.Generator) -> Counts:
    """Keep each molecule with the same probability."""
    counts = counts.copy()
    counts.data = rng.binomial(counts.data.astype(np.int64), kept).astype(np.float32)
    counts.eliminate_zeros()
    return counts


def thin(counts: Counts, group: CodeArray, log_delta: FloatArray, rng: np.random.Generator) -> Counts:
    """Keep each molecule with probability delta of its group of cells, scaled so that each gene's largest is 1."""
    probability = np.exp(log_delta - log_delta.max(axis=1, keepdims=True))
    rows = np.repeat(np.arange(counts.shape[0]), np.diff(counts.indptr))
    kept = rng.binomial(counts.data.astype(np.int64), probability[counts.indices, group[rows]])
    thinned = sparse.csr_array(
        (kept.astype(np.float32), counts.indices.copy(), counts.indptr.copy()), shape=counts.shape
    )
    thinned.eliminate_zeros()
    thinned.sort_indices()
    return thinned
