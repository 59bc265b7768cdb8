"""Measure how far mapped cells move if some of their genes were not measured.

    python benchmarks/mapping_genes.py --data FOLDER --output docs/benchmarks/mapping-genes.md

A seventh of the cells of each data set is held out and mapped onto a fit of the others, with all genes and without
some of them.
"""

import argparse
import sys
import warnings
from pathlib import Path

import anndata
import numpy as np

from accuracy.scenarios import SIMULATED
from mapping import fit, shown
from unbatch import BatchFit, BatchModel, InputWarning
from unbatch._types import BoolArray, FloatArray

SCENARIOS = ("moderate", "toy")
FILES = ("embryo_milode_4samples", "mix3_10x_celseq2_dropseq_788g", "pbmc_paris_3chem_partial_labels")
_HELD_OUT = 1 / 7
_SHARES = (0.1, 0.3, 0.6)
_LOUDEST = 0.05
_FEWEST = 5

_TEXT = """\
# New cells without some of the genes

```
{command}
```

A seventh of the cells is held out and mapped onto a fit of the others: with all genes, and without some, which are
drawn at random or are the 5% with most counts. In units of the root mean square distance of a cell from the mean of its
state: *moved* is the root mean square distance between the two, *bias* that of the means of states, less what chance
alone gives. *width* is the variance of cells within states over what it is with all genes; *state* the share of cells
in the same state. *zeros*: the same if the missing counts are taken for zeros.

| data | without | moved | bias | width | state | zeros: moved | zeros: bias |
|---|---|--:|--:|--:|--:|--:|--:|
{rows}
"""


def main() -> None:
    """Measure, print the table, write it where told."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of .h5ad files")
    parser.add_argument("--output", type=Path, help="write the page there")
    options = parser.parse_args()
    warnings.simplefilter("ignore", InputWarning)
    sets = {name: SIMULATED[name](0) for name in SCENARIOS}
    if options.data:
        sets |= {name: anndata.read_h5ad(options.data / f"{name}.h5ad") for name in FILES}
    rows = [line for name, adata in sets.items() for line in measure(name, adata)]
    text = _TEXT.format(
        command="python benchmarks/mapping_genes.py " + " ".join(shown(sys.argv[1:])), rows="\n".join(rows)
    )
    print(text)
    if options.output:
        options.output.write_text(text)


def measure(name: str, adata: anndata.AnnData) -> list[str]:
    """Map the same cells with all genes, and without some."""
    rng = np.random.default_rng(0)
    out = rng.random(adata.n_obs) < _HELD_OUT
    model = BatchModel()
    model._result = fit(adata[~out].copy())  # noqa: SLF001 - what load and fit_source do
    new = adata[out].copy()
    whole = model.map(new).result
    spread = float(np.sqrt(np.einsum("sdd->s", model.result.landmarks.spread).mean()))
    lines = []
    for what, kept in _kept(np.asarray(adata.X.sum(axis=0)).ravel(), rng):
        some = model.map(new[:, kept].copy()).result
        zeroed = new.copy()
        zeroed.X = zeroed.X.tocsr() @ _diagonal(kept)
        zeros = model.map(zeroed).result
        entries = [*compare(some, whole, spread), *compare(zeros, whole, spread)[:2]]
        lines.append(f"| {name} | {what} | " + " | ".join(f"{entry:.2f}" for entry in entries) + " |")
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def _kept(totals: FloatArray, rng: np.random.Generator) -> list[tuple[str, BoolArray]]:
    random = [(f"{share:.0%}", rng.permutation(len(totals)) >= share * len(totals)) for share in _SHARES]
    return [*random, ("the loudest 5%", totals < np.quantile(totals, 1 - _LOUDEST))]


def _diagonal(kept: BoolArray) -> object:
    from scipy import sparse

    return sparse.diags(kept.astype(np.float32)).tocsr()


def compare(some: BatchFit, whole: BatchFit, spread: float) -> tuple[float, float, float, float]:
    """Tell how far cells and means of states have moved, how wide states have become, and how many cells stay."""
    moved = some.embedding.astype(np.float64) - whole.embedding
    bias, before, after = [], [], []
    for state in np.unique(whole.sample[whole.sample >= 0]):
        mine = moved[whole.sample == state]
        if len(mine) > _FEWEST:
            bias.append((mine.mean(axis=0) ** 2).sum() - mine.var(axis=0, ddof=1).sum() / len(mine))
            before.append(whole.embedding[whole.sample == state].var(axis=0).sum())
            after.append(some.embedding[whole.sample == state].var(axis=0).sum())
    return (
        float(np.sqrt((moved**2).sum(axis=1).mean())) / spread,
        float(np.sqrt(max(np.mean(bias), 0.0))) / spread,
        float(np.mean(after) / np.mean(before)),
        float(np.mean(some.sample == whole.sample)),
    )


if __name__ == "__main__":
    main()
