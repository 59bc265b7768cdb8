"""Simulated problems, one entry per scenario."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
from scipy import sparse

import unbatch.simulation
from accuracy import thinned
from accuracy.problem import Problem, make_problem

_TYPES: dict[str, Any] = {
    "n_genes": 2000,
    "n_cells": 8000,
    "n_batches": 4,
    "n_types": 8,
    "log_delta_sd": 0.5,
    "median_depth": 1500,
    "size_factor_sd": 0.3,
}
_MODERATE, _EXTREME = 0.5, 0.2
_FEW_TYPES: dict[str, Any] = {"n_types": 3, "composition": 0.3, "dispersion": 0.3, "marker_log_fold_sd": 0.7}
"""Each batch is mostly of one type; types differ less, and cells of a type more."""


def _unshared(seed: int) -> anndata.AnnData:
    """Three batches mix six types; the last batch has two types of its own and nothing else."""
    rng = np.random.default_rng(seed)
    composition = np.zeros((4, 8))
    composition[:3, :6] = rng.dirichlet(np.full(6, _MODERATE), size=3)
    composition[3, 6:] = 0.5
    return unbatch.simulation.simulate(**_TYPES, composition=composition, seed=seed)


def _types(**changes: Any) -> Callable[[int], anndata.AnnData]:  # noqa: ANN401 - any option of the simulation
    return lambda seed: unbatch.simulation.simulate(**(_TYPES | {"composition": _MODERATE} | changes), seed=seed)


def _thinned(prefix: str, **changes: Any) -> Callable[[int], anndata.AnnData]:  # noqa: ANN401 - as of `_types`
    """Batches without effects, thinned by effects as those of real counts are (`thinned.PREFIXES`)."""

    def make(seed: int) -> anndata.AnnData:
        adata = _types(log_delta_sd=0.0, median_depth=3000, **changes)(seed)
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2,)))
        batch, cell_type = (np.array(adata.obs[key].cat.codes, dtype=np.int32) for key in ("batch", "cell_type"))
        adata.varm["log_delta_true"], adata.X = thinned.affect(
            sparse.csr_array(adata.X),
            batch,
            cell_type,
            len(adata.obs["batch"].cat.categories),
            thinned.PREFIXES[prefix],
            rng=rng,
        )
        return adata

    return make


SIMULATED: dict[str, Callable[[int], anndata.AnnData]] = {
    "toy": lambda seed: unbatch.simulation.simulate(seed=seed),
    "toy-confounded": lambda seed: unbatch.simulation.simulate(confounding=0.65, seed=seed),
    "graded-unequal-depth": lambda seed: unbatch.simulation.simulate(
        confounding=0.65, batch_depth=(3.0, 1.0), seed=seed
    ),
    "graded-extreme": lambda seed: unbatch.simulation.simulate(confounding=0.9, seed=seed),
    "graded-large": lambda seed: unbatch.simulation.simulate(
        n_cells=5000, n_genes=1000, n_batches=4, confounding=0.65, dispersion=0.1, seed=seed
    ),
    "balanced": _types(composition=None),
    "moderate": _types(),
    "extreme": _types(composition=_EXTREME),
    "few-types": _types(**_FEW_TYPES),
    "few-types-null": _types(**_FEW_TYPES, log_delta_sd=0.0),
    "20-batches": _types(n_batches=20, n_cells=10_000),
    "100-batches": _types(n_batches=100, n_cells=10_000),
    "100-alike-batches": _thinned("alike-batches:", n_batches=100, n_cells=10_000),
    "few-affected": _thinned("few-affected:"),
    "state-specific": _thinned("state-specific:"),
    "alike-batches": _thinned("alike-batches:", n_batches=8),
    "strong-effects": _types(n_cells=2000, n_genes=600, n_batches=2, log_delta_sd=1.5),
    "overdispersed": _types(dispersion=0.3),
    "sparse": _types(median_depth=300),
    "panel": _types(n_genes=100, median_depth=60),
    "panel-300": _types(n_genes=300, median_depth=150),
    "panel-null": _types(n_genes=100, median_depth=60, log_delta_sd=0.0),
    "null": _types(log_delta_sd=0.0),
    "unshared-batch": _unshared,
    "unequal-depth": _types(batch_depth=(5.0, 1.0, 1.0, 1.0)),
    "unequal-size": _types(n_batches=2, n_cells=10_050, batch_proportions=(50, 10_000)),
}


def list_scenarios(data: Path | None = None) -> list[str]:
    """List the names of all scenarios; of real counts, ``thinned:FILE:BATCH`` and the like (`thinned.PREFIXES`)."""
    return [*SIMULATED, *thinned.list_sources(data)]


def load_scenario(name: str, seed: int, *, data: Path | None = None) -> Problem:
    """Make the problem called `name`; `data` is the folder of labelled .h5ad files, if any."""
    if name.startswith(tuple(thinned.PREFIXES)):
        return thinned.load(name, seed, data)
    adata = SIMULATED[name](seed)
    return make_problem(
        name,
        seed,
        counts=sparse.csr_array(adata.X),
        batch=np.array(adata.obs["batch"].cat.codes, dtype=np.int32),
        cell_type=np.array(adata.obs["cell_type"].cat.codes, dtype=np.int32),
        log_delta_true=np.array(adata.varm["log_delta_true"]),
    )
