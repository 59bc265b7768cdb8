"""Let effects that were estimated from half of the cells tell the counts of the other half.

    python benchmarks/unseen_cells.py --data FOLDER --output docs/benchmarks/unseen-cells.md

Real batches have no known effects, but every estimate is a prediction. Half of the cells, drawn at random, are given to
a method. In the other half, counts are summed by known cell type, batch and gene. The totals of a gene in a type, and
of a batch in a type, are what they are; how a gene's counts divide among batches is what effects predict: expected
counts are proportional to delta, fitted to both totals. The log-likelihood of that division, over what it is without
effects, is what a method can tell. `oracle` takes the ratios of means within known types and shrinks nothing.
"""

import argparse
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

from accuracy.methods import concept, matched, naive, oracle
from unbatch._types import CodeArray, Counts, FloatArray
from unbatch.core import loglinear

_FEWEST = 5
"""Cells of a type in a batch below which they are left out of what is predicted."""
_FITTED = 30
"""Rounds of fitting expected counts to the totals."""
_TINY = 1e-300


@dataclass(frozen=True)
class Data:
    """Counts with the codes of batch and type of each cell."""

    counts: Counts
    batch: CodeArray
    cell_type: CodeArray
    n_batches: int

    def of_cells(self, chosen: np.ndarray) -> "Data":
        """Choose cells, (n_cells,) bool."""
        return Data(self.counts[np.flatnonzero(chosen)], self.batch[chosen], self.cell_type[chosen], self.n_batches)


def _independent(data: Data) -> FloatArray:
    """Fit by the default method with batches taken for independent."""
    with patch.object(loglinear, "find_correlation", lambda _, pull: np.eye(pull.shape[1])):
        return matched.estimate(data.counts, data.batch, data.n_batches).log_delta


METHODS: dict[str, Callable[[Data], FloatArray]] = {
    "oracle": lambda data: oracle.estimate(data.counts, data.batch, data.n_batches, data.cell_type).log_delta,
    "naive": lambda data: naive.estimate(data.counts, data.batch, data.n_batches).log_delta,
    "concept": lambda data: concept.estimate(data.counts, data.batch, data.n_batches).log_delta,
    "independent": _independent,
    "matched": lambda data: matched.estimate(data.counts, data.batch, data.n_batches).log_delta,
}


def main() -> int:
    """Measure every labelled file and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder of .h5ad files")
    parser.add_argument("--seeds", type=int, default=3, help="number of random halves, each half predicting the other")
    parser.add_argument("--output", type=Path, help="write the table there")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = {}
    for path in sorted(options.data.glob("*.h5ad")):
        data = read(path)
        if data is not None:
            rows[path.stem] = (data, measure(data, seeds=options.seeds))
            print(path.stem, rows[path.stem][1], file=sys.stderr, flush=True)
    text = table(rows)
    print(text)
    if options.output:
        options.output.write_text(text)
    return 0


def read(path: Path) -> Data | None:
    """Read a file; None without cell types. Cells without a type are left out."""
    adata = anndata.read_h5ad(path)
    if not {"batch", "cell_type"} <= set(adata.obs):
        return None
    known = np.array(adata.obs["cell_type"].notna())
    batch, cell_type = (pd.Categorical(adata.obs[name][known].astype(str)) for name in ("batch", "cell_type"))
    return Data(
        sparse.csr_array(adata.X)[np.flatnonzero(known)].astype(np.float64),
        np.array(batch.codes, dtype=np.int32),
        np.array(cell_type.codes, dtype=np.int32),
        len(batch.categories),
    )


def measure(data: Data, *, seeds: int) -> dict[str, float]:
    """Find what each method tells, in nats for 1,000 counts, as the mean over halves."""
    told: dict[str, list[float]] = {name: [] for name in METHODS}
    for seed in range(seeds):
        half = np.random.default_rng(seed).random(len(data.batch)) < 0.5
        for seen in (half, ~half):
            mine, others = data.of_cells(seen), data.of_cells(~seen)
            for name, estimate in METHODS.items():
                told[name].append(1000 * gain(others, estimate(mine)) / others.counts.sum())
    return {name: float(np.mean(values)) for name, values in told.items()}


def gain(data: Data, log_delta: FloatArray) -> float:
    """Find by how much effects, (n_genes, n_batches), raise the log-likelihood of how counts divide among batches."""
    total = 0.0
    for number in np.unique(data.cell_type):
        mine = data.cell_type == number
        cells = np.bincount(data.batch[mine], minlength=data.n_batches)
        batches = np.flatnonzero(cells >= _FEWEST)
        if len(batches) > 1:
            place = np.full(data.n_batches, -1)
            place[batches] = np.arange(len(batches))
            used = np.flatnonzero(mine & (place[data.batch] >= 0))
            groups = sparse.csr_array(
                (np.ones(len(used)), (place[data.batch[used]], np.arange(len(used)))), shape=(len(batches), len(used))
            )
            counts = (groups @ data.counts[used]).toarray().T
            total += divided(counts, log_delta[:, batches]) - divided(counts, np.zeros((len(counts), len(batches))))
    return total


def divided(counts: FloatArray, log_delta: FloatArray) -> float:
    """Log-likelihood of how the counts of genes divide among batches, (n_genes, n_batches), given both totals."""
    there = counts.sum(axis=1) > 0
    counts, expected = counts[there], np.exp(log_delta[there])
    for _ in range(_FITTED):
        expected *= counts.sum(axis=0) / np.maximum(expected.sum(axis=0), _TINY)
        expected *= (counts.sum(axis=1) / np.maximum(expected.sum(axis=1), _TINY))[:, None]
    share = expected / np.maximum(expected.sum(axis=1, keepdims=True), _TINY)
    return float((counts * np.log(np.maximum(share, _TINY)))[counts > 0].sum())


def table(rows: dict[str, tuple[Data, dict[str, float]]]) -> str:
    """Write the table, in Markdown."""
    lines = [
        "| data | cells | batches | " + " | ".join(METHODS) + " |",
        "|---|--:|--:|" + "--:|" * len(METHODS),
    ]
    for name, (data, found) in rows.items():
        size = f"| {name} | {len(data.batch):,} | {data.n_batches} |"
        lines.append(size + "".join(f" {found[method]:.2f} |" for method in METHODS))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
