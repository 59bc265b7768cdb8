"""Does the default method hold on sets that nobody chose? Simulations and splits of real cells, drawn at random.

*ambient* are types with counts of the whole batch added to each cell, *trajectories* branching paths of which batches
see other stretches, *splits* real cells split at random.

    python benchmarks/random_sets.py                                      # all families
    python benchmarks/random_sets.py --families few-types --sets 20 --csv sets.csv
    python benchmarks/random_sets.py --families splits splits-own --data DIR

For each family: the error of log delta (root mean square of contrasts, genes with more than 200 counts, what is common
to the genes of a batch taken off), what 95% intervals hold, how many sets have intervals that hold less than 85%, and
of the 15 nearest neighbours of each cell in `X_unbatch` those of its own type and of its own batch, beside what a
perfect mixing of batches within types would give.
"""

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

import unbatch as ub
from accuracy.ambient import draw_ambient
from accuracy.random_splits import draw_split
from accuracy.trajectories import draw_trajectories

_WELL_MEASURED, _NEIGHBOURS, _LOW = 200, 15, 0.85
_COLUMNS = ("own_type", "own_batch", "mixed")

Draw = Callable[[np.random.Generator], dict[str, Any]]


def _few_types(rng: np.random.Generator) -> dict[str, Any]:
    """Types that differ little, in shares that differ from batch to batch."""
    return {
        "n_batches": int(rng.choice([2, 2, 3, 4])),
        "n_types": int(rng.choice([2, 3, 5, 8])),
        "composition": float(rng.choice([0.3, 0.5, 1.0])),
        "median_depth": float(np.exp(rng.uniform(np.log(500), np.log(20000)))),
        "n_cells": int(rng.choice([800, 1500])),
        "n_genes": int(rng.choice([1000, 2000])),
        "dispersion": float(rng.choice([0, 0.3, 1.0])),
        "marker_log_fold_sd": float(rng.choice([0.4, 0.7, 1.0])),
        "marker_share": float(rng.choice([0.1, 0.3])),
        "variation": float(rng.choice([0.1, 0.3])),
        "n_factors": int(rng.choice([2, 5])),
        "log_delta_sd": 0.4,
    }


def _no_effects(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "n_batches": int(rng.choice([2, 3, 4, 8])),
        "n_cells": int(rng.choice([600, 1500, 3000])),
        "n_genes": int(rng.choice([300, 1000])),
        "n_types": int(rng.choice([2, 3, 5, 8])),
        "composition": float(rng.choice([0.2, 0.5, 1])),
        "median_depth": float(rng.choice([500, 2000, 8000])),
        "dispersion": float(rng.choice([0, 0.3, 1.0])),
        "marker_log_fold_sd": float(rng.choice([0.7, 1.5])),
        "variation": float(rng.choice([0.1, 0.3])),
        "log_delta_sd": 0.0,
    }


def _mixed(rng: np.random.Generator) -> dict[str, Any]:
    """Two to twelve batches, small ones among them."""
    n_batches = int(rng.choice([2, 3, 5, 8, 12]))
    return {
        "n_batches": n_batches,
        "n_cells": int(rng.choice([200, 500])) * n_batches,
        "n_genes": int(rng.choice([500, 2000])),
        "n_types": int(rng.choice([3, 6, 10])),
        "composition": float(rng.choice([0.2, 0.5, 1])),
        "median_depth": float(rng.choice([300, 1000, 3000])),
        "variation": float(rng.choice([0.1, 0.3, 0.5])),
        "marker_log_fold_sd": float(rng.choice([0.7, 1.5])),
        "log_delta_sd": float(rng.choice([0.3, 0.6])),
    }


def _strong_effects(rng: np.random.Generator) -> dict[str, Any]:
    n_batches = int(rng.choice([2, 3, 4]))
    return {
        "n_batches": n_batches,
        "n_cells": int(rng.choice([600, 1000])) * n_batches,
        "n_genes": int(rng.choice([250, 600, 2000])),
        "n_types": int(rng.choice([3, 6, 8])),
        "composition": float(rng.choice([0.5, 1])),
        "median_depth": 2000,
        "variation": float(rng.choice([0.1, 0.3, 0.5])),
        "log_delta_sd": float(rng.choice([1.0, 1.5])),
    }


def _graded(rng: np.random.Generator) -> dict[str, Any]:
    """Graded states, of which batches hold other parts."""
    n_batches = int(rng.choice([2, 3, 4]))
    return {
        "n_batches": n_batches,
        "n_cells": int(rng.choice([500, 1000])) * n_batches,
        "n_genes": int(rng.choice([500, 1000])),
        "n_factors": int(rng.choice([3, 5, 8])),
        "confounding": float(rng.choice([0.3, 0.65, 0.9])),
        "median_depth": float(rng.choice([1000, 3000, 10000])),
        "dispersion": float(rng.choice([0, 0.1, 0.3])),
        "log_delta_sd": float(rng.choice([0.3, 0.6, 1.0])),
    }


FAMILIES: dict[str, tuple[int, Draw]] = {
    "few-types": (29000, _few_types),
    "no-effects": (5000, _no_effects),
    "mixed": (8000, _mixed),
    "strong-effects": (7000, _strong_effects),
    "graded": (4000, _graded),
}
"""By name, the seed of the draws of the first set, and how options are drawn."""
DRAWN = {"ambient": draw_ambient, "trajectories": draw_trajectories}
"""Families that take more than options of `unbatch.simulate`."""
SPLITS = {"splits": 0.0, "splits-own": 0.3}
"""Of real cells, and the standard deviation of the factors that their types have of their own."""


def main() -> None:
    """Fit the sets that were asked for, and print a row for each family."""
    options = _parse()
    warnings.simplefilter("ignore", ub.InputWarning)
    sets = [(family, number) for family in options.families for number in range(options.sets)]
    rows = [measured(family, number, data=options.data) for family, number in sets]
    scores = pd.DataFrame([row for row in rows if row is not None])
    print(summary(scores))
    if options.csv:
        scores.to_csv(options.csv, index=False)


def measured(family: str, number: int, *, data: Path | None = None) -> dict[str, Any] | None:
    """Make a set, fit it, and compare with the truth; None where cells could not be split as was drawn."""
    if family in SPLITS:
        try:
            chosen, adata = draw_split(number, by_type=SPLITS[family], data=data)
        except RuntimeError:
            return None
    elif family in DRAWN:
        chosen, adata = DRAWN[family](number)
    else:
        first, draw = FAMILIES[family]
        chosen = draw(np.random.default_rng(first + number))
        adata = ub.simulate(**chosen, seed=number)
    ub.tl.batch_effects(adata, batch_key="batch")
    loud = np.asarray(adata.X.sum(axis=0)).ravel() > _WELL_MEASURED
    found, true = (_centred(np.asarray(adata.varm[name])) for name in ("batch_effects", "log_delta_true"))
    error = found - true
    error -= np.median(error[loud], axis=0)
    se = np.asarray(adata.varm["batch_effects_se"])
    known = np.isfinite(se) & loud[:, None]
    inside = np.abs(error[known]) < 1.96 * se[known]
    return {
        "family": family,
        "number": number,
        **chosen,
        "rmse": float(np.sqrt(np.mean(error[loud] ** 2))),
        "coverage": float(inside.mean()),
        **dict(zip(_COLUMNS, neighbours(adata), strict=True)),
    }


def neighbours(adata: anndata.AnnData) -> tuple[float, float, float]:
    """Shares of neighbours of a cell's own type and batch, and of its own batch if types were mixed; NaN without types.

    A set whose cells have no type, or which has no embedding, has none of them.
    """
    if "cell_type" not in adata.obs or "X_unbatch" not in adata.obsm:
        return np.nan, np.nan, np.nan
    place = adata.obsm["X_unbatch"]
    near = cKDTree(place).query(place, _NEIGHBOURS + 1)[1][:, 1:]
    kind, batch = (adata.obs[key].cat.codes.to_numpy() for key in ("cell_type", "batch"))
    cells = pd.crosstab(kind, batch).to_numpy()
    mixed = (cells**2 / cells.sum(axis=1, keepdims=True)).sum() / cells.sum()
    return float((kind[near] == kind[:, None]).mean()), float((batch[near] == batch[:, None]).mean()), float(mixed)


def summary(scores: pd.DataFrame) -> str:
    """Write a row for each family, as Markdown."""
    lines = ["| family | sets | RMSE | worst | intervals | below 85% | own type | own batch |"]
    lines.append("|---|--:|--:|--:|--:|--:|--:|--:|")
    for family, part in scores.groupby("family", sort=False):
        kind, own, mixed = (part[name].mean() for name in _COLUMNS)
        lines.append(
            f"| {family} | {len(part)} | {part.rmse.mean():.3f} | {part.rmse.max():.3f} | {part.coverage.mean():.1%} "
            f"| {(part.coverage < _LOW).sum()} | {kind:.3f} | {own:.3f} ({mixed:.3f}) |"
        )
    return "\n".join(lines)


def _centred(log_delta: np.ndarray) -> np.ndarray:
    return np.asarray(log_delta - log_delta.mean(axis=1, keepdims=True))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    families = [*FAMILIES, *DRAWN, *SPLITS]
    parser.add_argument("--families", nargs="+", choices=families, default=families)
    parser.add_argument("--data", type=Path, help="folder of labelled .h5ad files to be split, beside the shipped one")
    parser.add_argument("--sets", type=int, default=30, help="sets of each family (30)")
    parser.add_argument("--csv", type=Path, help="write there a row for each set")
    return parser.parse_args()


if __name__ == "__main__":
    main()
