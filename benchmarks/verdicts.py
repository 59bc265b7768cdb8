"""What the diagnostics say of data of which the answer is known: verdict by check and scenario.

Run ``python benchmarks/verdicts.py [--data FOLDER] [--probes] [--seeds N] [SCENARIO ...]``; one row per fit, in
Markdown.
"""

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
from scipy import sparse

import unbatch as ub

_BASE: dict[str, Any] = {
    "n_cells": 2400,
    "n_genes": 1000,
    "n_batches": 4,
    "n_types": 8,
    "median_depth": 2000,
    "composition": 1.0,
    "size_factor_sd": 0.3,
    "dispersion": 0.1,
    "log_delta_sd": 0.4,
}
_TOY: dict[str, Any] = {"n_cells": 2000, "n_genes": 500}
_HALVES = [[1] * 5 + [0] * 3, [0] * 3 + [1] * 5]
_ONE_APART = [[1] * 6 + [0] * 2] * 3 + [[0] * 6 + [1] * 2]


def _types(**changes: Any) -> Callable[[int], anndata.AnnData]:  # noqa: ANN401
    return lambda seed: ub.simulate(**(_BASE | changes), seed=seed)


def _toy(**changes: Any) -> Callable[[int], anndata.AnnData]:  # noqa: ANN401
    return lambda seed: ub.simulate(**(_TOY | changes), seed=seed)


def state_specific(*, sd: float) -> Callable[[int], anndata.AnnData]:
    """Thin each gene in each type of the first batch by a factor of its own, with this spread of its logarithm."""

    def make(seed: int) -> anndata.AnnData:
        adata = _types(median_depth=4000)(seed)
        rng = np.random.default_rng(seed)
        kinds = adata.obs["cell_type"].astype("category").cat.codes.to_numpy()
        log_factor = sd * rng.standard_normal((kinds.max() + 1, adata.n_vars))
        keep = np.exp(log_factor - log_factor.max(axis=0))
        counts = sparse.csr_array(adata.X).astype(np.int64)
        cell = np.repeat(np.arange(adata.n_obs), np.diff(counts.indptr))
        first = (adata.obs["batch"] == adata.obs["batch"].unique()[0]).to_numpy()
        share = np.where(
            first[cell], keep[kinds[cell], counts.indices], np.exp(-log_factor.max(axis=0))[counts.indices]
        )
        counts.data = rng.binomial(counts.data, np.clip(share, 0, 1))
        counts.eliminate_zeros()
        adata.X = counts.astype(np.float32)
        return adata

    return make


SCENARIOS: dict[str, Callable[[int], anndata.AnnData]] = {
    "null": _types(log_delta_sd=0.0),
    "null, same composition": _types(log_delta_sd=0.0, composition=None),
    "null, composition extreme": _types(log_delta_sd=0.0, composition=0.3),
    "null, two batches": _types(log_delta_sd=0.0, n_batches=2),
    "null, sparse": _types(log_delta_sd=0.0, median_depth=300),
    "null, depth 1 1 3 5": _types(log_delta_sd=0.0, batch_depth=(1, 1, 3, 5)),
    "sd 0.05": _types(log_delta_sd=0.05),
    "sd 0.15": _types(log_delta_sd=0.15),
    "moderate": _types(),
    "moderate, two batches": _types(n_batches=2),
    "moderate, sparse": _types(median_depth=300),
    "moderate, depth 1 1 3 5": _types(batch_depth=(1, 1, 3, 5)),
    "moderate, 40 batches": _types(n_batches=40),
    "composition extreme": _types(composition=0.3),
    "sd 1": _types(log_delta_sd=1.0),
    "toy": _toy(),
    "toy, confounded": _toy(n_batches=3, confounding=0.7, log_delta_sd=0.5),
    "toy, confounded, null": _toy(n_batches=3, confounding=0.7, log_delta_sd=0.0),
    "120 cells": _types(n_cells=120),
    "one batch shares nothing": _types(composition=_ONE_APART),
    "nothing shared": _types(n_batches=2, composition=[[1] * 4 + [0] * 4, [0] * 4 + [1] * 4]),
    "two of eight types shared": _types(n_batches=2, composition=_HALVES),
    "batch is type": _types(n_batches=2, n_types=2, composition=[[1, 0], [0, 1]]),
    "effects of states, sd 0.2": state_specific(sd=0.2),
    "effects of states, sd 0.5": state_specific(sd=0.5),
    "effects of states, sd 1": state_specific(sd=1.0),
}

_CHECKS = ("need", "overlap", "balance", "mixing", "remainder", "effects", "convergence", "probes")


def row(name: str, adata: anndata.AnnData, *, probes: bool) -> str:
    """Fit, judge, and give a row of the table."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ub.tl.batch_effects(adata, batch_key="batch")
        if probes:
            ub.tl.diagnose(adata, probes=True)
            for probe in ub.get.diagnostics(adata, "probes").itertuples(index=False):
                print("   ", probe.probe, probe.batch, probe.state_or_label, f"{probe.value:.3f} {probe.expected:.3f}")
    table = ub.get.verdicts(adata).set_index("check")
    cells = [
        f"{table.loc[check, 'verdict']} {table.loc[check, 'value']:.3f}" if check in table.index else ""
        for check in _CHECKS
    ]
    if table.loc["need", "text"].startswith("Not needed"):
        cells[0] += " (not needed)"
    return " | ".join(["", name, *cells, ""]).strip()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="*", help="names of scenarios, all by default")
    parser.add_argument("--data", type=Path, help="folder of .h5ad files with obs 'batch', each of which is judged")
    parser.add_argument("--probes", action="store_true", help="fit again with something known")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds of each scenario")
    asked = parser.parse_args()
    print(" | ".join(["", "scenario", *_CHECKS, ""]).strip())
    print("|" + "---|" * (len(_CHECKS) + 1))
    for name in asked.scenario or ([] if asked.data else SCENARIOS):
        for seed in range(1, asked.seeds + 1):
            print(row(name, SCENARIOS[name](seed), probes=asked.probes), flush=True)
    for path in sorted(asked.data.glob("*.h5ad")) if asked.data else ():
        print(row(path.stem, anndata.read_h5ad(path), probes=asked.probes), flush=True)


if __name__ == "__main__":
    main()
