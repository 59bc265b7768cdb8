"""Measure whether cells that are mapped onto a finished fit come out as a joint fit has them.

    python benchmarks/mapping.py                                       # simulated data, 3 seeds
    python benchmarks/mapping.py --data FOLDER --output docs/benchmarks/mapping.md

One batch is held out, the others are fitted, and the batch is mapped onto that fit; likewise a random tenth of the
cells of all batches. The same cells are also fitted all together. With `--data`, so are the .h5ad files of a folder
with `obs["batch"]`: those of at least three batches as they are, and, where cells have types, in pseudo-batches of
known effects made of their cells.
"""

import argparse
import shlex
import sys
import warnings
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import anndata
import numpy as np
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from accuracy.scenarios import list_scenarios, load_scenario
from unbatch import BatchFit, BatchModel, InputWarning
from unbatch._types import BoolArray, FloatArray
from unbatch.io.batches import read_batches
from unbatch.io.source import open_counts
from unbatch.simulation import simulate

SIMULATED = (
    "moderate",
    "extreme",
    "few-affected",
    "alike-batches",
    "sparse",
    "overdispersed",
    "unequal-depth",
    "null",
    "graded",
    "shallow-3",
    "shallow-10",
)
_DEEP: dict[str, Any] = {
    "n_cells": 4000,
    "n_genes": 1500,
    "n_batches": 4,
    "n_types": 8,
    "composition": 1.0,
    "median_depth": 5000,
    "size_factor_sd": 0.3,
    "dispersion": 0.1,
    "log_delta_sd": 0.4,
}
OWN: dict[str, dict[str, Any]] = {
    "graded": {"n_cells": 3000, "n_batches": 3, "confounding": 0.65},
    "shallow-3": _DEEP | {"batch_depth": (3.0, 3.0, 3.0, 1.0)},
    "shallow-10": _DEEP | {"batch_depth": (10.0, 10.0, 10.0, 1.0)},
}
"""Options of scenarios: cells without types, whose programmes go with the batch; a batch 3 and 10 times shallower."""
REAL = ("thinned:", "few-affected:", "alike-batches:")
"""How names of problems begin that are made of real counts."""
N_NEIGHBORS = 15
_LOUD = 200
_FEWEST_BATCHES = 3
_TENTH = 0.1
_NORMAL_975 = 1.959963984540054


@dataclass(frozen=True)
class EffectRow:
    """Effects of a held-out batch, relative to the mean of the others, over genes with more than 200 counts.

    Root mean squares, after the median over genes is taken off; NaN without a truth.
    """

    data: str
    cells: int
    mapped_from_joint: float
    joint_from_truth: float
    mapped_from_truth: float
    joint_covers: float
    mapped_covers: float
    joint_se: float
    mapped_se: float


@dataclass(frozen=True)
class CellRow:
    """Where mapped cells lie, against a joint fit; the last two are of another joint fit, with another seed."""

    data: str
    cells: int
    what: str
    kept: float
    moved: float
    reference_moved: float
    same_type: float
    joint_same_type: float
    kept_by_seed: float
    moved_by_seed: float


AnyRow = TypeVar("AnyRow", EffectRow, CellRow)


def main() -> int:
    """Measure, print the tables, write them where told."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of .h5ad files")
    parser.add_argument("--scenarios", nargs="+", default=SIMULATED, help="simulated scenarios")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds of simulated data")
    parser.add_argument("--output", type=Path, help="write the page there")
    options = parser.parse_args()
    warnings.simplefilter("ignore", InputWarning)
    names = [
        *options.scenarios,
        *(n for n in list_scenarios(options.data) if options.data and n.startswith(REAL)),
    ]
    effects: list[EffectRow] = []
    cells: list[CellRow] = []
    for name in names:
        for seed in range(options.seeds):
            found = measure_problem(name, seed, options.data)
            if found is not None:
                effects.append(found[0])
                cells += found[1]
                print(*astuple(found[0]), file=sys.stderr, flush=True)
    for path in sorted(options.data.glob("*.h5ad")) if options.data else []:
        adata = anndata.read_h5ad(path)
        adata.obs["batch"] = adata.obs["batch"].astype(str)
        if adata.obs["batch"].nunique() >= _FEWEST_BATCHES:
            row, of_cells = measure(path.stem, adata)
            effects.append(row)
            cells += of_cells
            print(*astuple(row), file=sys.stderr, flush=True)
    text = page(
        averaged(effects),
        averaged(cells),
        seeds=options.seeds,
        command="python benchmarks/mapping.py " + shlex.join(shown(sys.argv[1:])),
    )
    print(text)
    if options.output:
        options.output.write_text(text)
    return 0


def shown(arguments: list[str]) -> list[str]:
    """Write the command without the place of the data."""
    return [
        "DIR" if before == "--data" else argument for before, argument in zip(["", *arguments], arguments, strict=False)
    ]


def measure_problem(name: str, seed: int, data: Path | None) -> tuple[EffectRow, list[CellRow]] | None:
    """Measure on counts with known effects; None with two batches."""
    if name in OWN:
        adata = simulate(**OWN[name], seed=seed)
        adata.obs["batch"] = adata.obs["batch"].astype(str)
        return measure(name, adata, truth=np.array(adata.varm["log_delta_true"]))
    problem = load_scenario(name, seed, data=data)
    if problem.n_batches < _FEWEST_BATCHES:
        return None
    adata = anndata.AnnData(X=sparse.csr_matrix(problem.counts))
    adata.obs_names, adata.var_names = (list(map(str, range(size))) for size in adata.shape)
    adata.obs["batch"] = [f"{code:03d}" for code in problem.batch]
    adata.obs["cell_type"] = problem.cell_type.astype(str)
    return measure(name, adata, truth=problem.log_delta_true)


def measure(name: str, adata: anndata.AnnData, *, truth: FloatArray | None = None) -> tuple[EffectRow, list[CellRow]]:
    """Hold out the last batch, then a tenth of all cells, and map them."""
    batch = adata.obs["batch"].to_numpy()
    last = np.unique(batch)[-1]
    held_out, tenth = batch == last, np.random.default_rng(0).random(len(batch)) < _TENTH
    joint, other = fit(adata), fit(adata, seed=1)
    rows, row = [], None
    for what, out in (("held-out batch", held_out), ("tenth of the cells", tenth)):
        reference = fit(adata[~out].copy())
        model = BatchModel()
        model._result = reference  # noqa: SLF001 - what load and fit_source do
        mapped = model.map(adata[out].copy()).result
        if row is None:
            row = of_effects(name, adata, joint, mapped, last, truth)
        rows.append(of_cells(name, what, adata, out, (joint, other, reference, mapped)))
    assert row is not None
    return row, rows


def fit(adata: anndata.AnnData, *, seed: int = 0) -> BatchFit:
    """Fit cells by default options."""
    source = open_counts(adata)
    return BatchModel(seed=seed).fit_source(source, read_batches(source, "batch")).result


def of_effects(  # noqa: PLR0917 - both fits of one problem, and its truth
    name: str, adata: anndata.AnnData, joint: BatchFit, mapped: BatchFit, last: str, truth: FloatArray | None
) -> EffectRow:
    """Compare the effects of the held-out batch."""
    k, n_batches = joint.batches.index(last), len(joint.batches)
    loud = np.asarray(adata.X.sum(axis=0)).ravel() > _LOUD
    loud &= np.isfinite(joint.se[:, k]) & np.isfinite(mapped.se[:, 0])
    if not loud.any():
        return EffectRow(name, len(mapped.obs), *[np.nan] * 7)
    relative = _relative(joint.log_delta, k)
    together, alone = _centred(relative, loud), _centred(mapped.log_delta[:, 0], loud)
    # the mean of all batches holds a share of the batch itself
    se_joint, se = joint.se[loud, k] * n_batches / (n_batches - 1), mapped.se[loud, 0]
    errors = [np.full(len(se), np.nan)] * 2
    if truth is not None:
        true = _centred(_relative(truth, k), loud)
        errors = [together - true, alone - true]
    covers = [
        float(np.mean(np.abs(error) < _NORMAL_975 * width)) if truth is not None else np.nan
        for error, width in zip(errors, (se_joint, se), strict=True)
    ]
    return EffectRow(
        name,
        len(mapped.obs),
        _root_mean_square(alone - together),
        *map(_root_mean_square, errors),
        *covers,
        float(np.median(se_joint)),
        float(np.median(se)),
    )


def of_cells(
    name: str, what: str, adata: anndata.AnnData, out: BoolArray, fits: tuple[BatchFit, BatchFit, BatchFit, BatchFit]
) -> CellRow:
    """Compare where the cells lie among those that were fitted without them."""
    joint, other, reference, mapped = fits
    placed = np.empty((len(out), mapped.embedding.shape[1]))
    placed[~out], placed[out] = reference.embedding, mapped.embedding
    spaces = [np.asarray(space, dtype=np.float64) for space in (joint.embedding, placed, other.embedding)]
    near = [_neighbors(space, out) for space in spaces]
    types = adata.obs["cell_type"].astype(str).to_numpy() if "cell_type" in adata.obs else None
    same = [np.nan, np.nan]
    if types is not None:
        same = [float(np.mean(types[~out][one] == types[out][:, None])) for one in near[:2]]
    moved, reference_moved = _moved(spaces[1], spaces[0], joint.sample, out)
    by_seed, _ = _moved(spaces[2], spaces[0], joint.sample, out)
    return CellRow(
        name,
        int(out.sum()),
        what,
        _shared(near[0], near[1]),
        moved,
        reference_moved,
        same[1],
        same[0],
        _shared(near[0], near[2]),
        by_seed,
    )


def _neighbors(space: FloatArray, out: BoolArray) -> FloatArray:
    search = NearestNeighbors(n_neighbors=N_NEIGHBORS, algorithm="brute").fit(space[~out])
    return search.kneighbors(space[out], return_distance=False)


def _shared(left: FloatArray, right: FloatArray) -> float:
    """Share of neighbours that two sets of coordinates have in common."""
    return float(np.mean([len(np.intersect1d(a, b)) / N_NEIGHBORS for a, b in zip(left, right, strict=True)]))


def _moved(space: FloatArray, joint: FloatArray, state: FloatArray, out: BoolArray) -> tuple[float, float]:
    """How far cells lie from where the joint fit has them, those mapped and the others, in units of the spread.

    The two spaces are brought together by the rotation and shift that suit the cells that were fitted best.
    """
    width = max(space.shape[1], joint.shape[1])
    space, joint = (np.pad(one, ((0, 0), (0, width - one.shape[1]))) for one in (space, joint))
    middle, other = space[~out].mean(axis=0), joint[~out].mean(axis=0)
    left, _, right = np.linalg.svd((space[~out] - middle).T @ (joint[~out] - other))
    apart = (space - middle) @ left @ right - (joint - other)
    means = {s: joint[state == s].mean(axis=0) for s in np.unique(state)}
    spread = np.mean([((joint[state == s] - mean) ** 2).sum(axis=1).mean() for s, mean in means.items()])
    lengths = (apart**2).sum(axis=1)
    return float(np.sqrt(lengths[out].mean() / spread)), float(np.sqrt(lengths[~out].mean() / spread))


def _relative(log_delta: FloatArray, k: int) -> FloatArray:
    """Effect of a batch less the mean of the others."""
    return log_delta[:, k] - np.delete(log_delta, k, axis=1).mean(axis=1)


def _centred(values: FloatArray, genes: BoolArray) -> FloatArray:
    return values[genes] - np.median(values[genes])


def _root_mean_square(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def averaged(rows: list[AnyRow]) -> list[AnyRow]:
    """Take means over the rows of one name, and of one kind of cells held out."""
    texts = [tuple(value for value in astuple(row) if isinstance(value, str)) for row in rows]
    found = []
    for text in dict.fromkeys(texts):
        mine = [row for row, own in zip(rows, texts, strict=True) if own == text]
        numbers = {
            field.name: np.mean([getattr(row, field.name) for row in mine])
            for field in fields(mine[0])
            if not isinstance(getattr(mine[0], field.name), str)
        }
        found.append(replace(mine[0], **(numbers | {"cells": round(numbers["cells"])})))
    return found


def page(effects: list[EffectRow], cells: list[CellRow], *, command: str, seeds: int) -> str:
    """Write the page."""
    return _TEXT.format(
        command=command,
        neighbors=N_NEIGHBORS,
        seeds=seeds,
        effects=_table([field.name for field in fields(EffectRow)], [astuple(row) for row in effects]),
        cells=_table([field.name for field in fields(CellRow)], [astuple(row) for row in cells]),
    )


def _table(names: list[str], rows: list[tuple[str | float, ...]]) -> str:
    lines = ["| " + " | ".join(name.replace("_", " ") for name in names) + " |"]
    lines.append("|---|" + "--:|" * (len(names) - 1))
    lines += ["| " + " | ".join(_entry(value) for value in row) + " |" for row in rows]
    return "\n".join(lines)


def _entry(value: str | float) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    return "-" if np.isnan(value) else f"{value:.3f}"


_TEXT = """\
# New cells: mapped onto a fit, or fitted with it?

```
{command}
```

The last batch of each data set is held out, the others are fitted, and the batch is mapped onto that fit. Beside it,
all cells are fitted together. The simulated scenarios are those of [accuracy](accuracy.md), and *graded*: cells without
types, whose programmes go with the batch. In *shallow-3* and *shallow-10* the held-out batch has a third and a tenth of
the counts of the others. `thinned:`, `few-affected:` and `alike-batches:` are real counts with made
effects, explained there. All these are means over {seeds} seeds. The other names are files of real counts with their
own batches, where no truth is known.

## Effects of the held-out batch

Log delta relative to the mean of the other batches, over genes with more than 200 counts, the median over genes taken
off; root mean squares. *mapped from joint*: difference between the two. *from truth*: error of each. *covers*: share of
the true effects in the 95% intervals. *se*: median standard error.

{effects}

## Cells

*kept*: of the {neighbors} nearest fitted cells that a mapped cell has in the joint fit, the share that it has when
mapped. *moved*: root mean square distance of the mapped cells from where the joint fit has them, in units of the root
mean square distance of a cell from the mean of its state, after the rotation that brings the fitted cells together;
*reference moved*: the same for the fitted cells, which differ because a fit without the others has other axes. *same
type*: share of those neighbours that are of the cell's own type, mapped and in the joint fit. *by seed*: what two joint
fits differ by that differ in nothing but their seed.

{cells}
"""


if __name__ == "__main__":
    sys.exit(main())
