"""A fit with diagnostics, made by hand, of any number of batches, states and genes, with names of any kind."""

import numpy as np
import pandas as pd

from unbatch import slots
from unbatch.fitted import BatchFit
from unbatch.stored_fit import as_anndata

HOSTILE = [
    "x" * 10_000,
    "x" * 9_999 + "y",
    "$x^2$ <costs>",
    "<script>alert(1)</script>",
    "line\nbreak\ttab",
    "emoji 😀 and helix 🧬",
    "",
    "a very long name that differs late: 1",
    "a very long name that differs late: 2",
    "批次一",
    "\\frac{$",
    "nul\x00 bell\x07 rtl \u202e",
]
_SPACES = ("genes", "genes after", "embedding before", "embedding after")


def names_of(kind, n, *, hostile=False):
    if hostile:
        return [HOSTILE[i % len(HOSTILE)] + (f" {i}" if i >= len(HOSTILE) else "") for i in range(n)]
    return [f"{kind} {i + 1}" for i in range(n)]


def fitted(n_batches=3, *, n_genes=60, n_states=6, n_cells=600, hostile=False, effects_only=False, diagnosed=True):
    """AnnData as a fit leaves it."""
    rng = np.random.default_rng(7)
    batches, genes = names_of("batch", n_batches, hostile=hostile), names_of("gene", n_genes, hostile=hostile)
    log_delta = rng.normal(0, 0.5, (n_genes, n_batches))
    log_delta -= log_delta.mean(axis=1, keepdims=True)
    se = rng.uniform(0.02, 0.4, (n_genes, n_batches))
    log_delta[-3:], se[-3:] = 0, np.inf
    cell_batch = np.sort(rng.integers(0, n_batches, n_cells))
    cell_batch[:n_batches] = np.arange(n_batches)
    state = rng.integers(0, n_states, n_cells)
    centres = rng.normal(0, 4, (n_states, 10))
    after = (centres[state] + rng.normal(size=(n_cells, 10))).astype(np.float32)
    before = (after + rng.normal(0, 2, (n_batches, 10))[cell_batch]).astype(np.float32)
    obs = pd.DataFrame(
        {"batch": np.array(batches, dtype=object)[cell_batch], "cell_type": [f"type {s + 1}" for s in state]},
        index=[f"c{i}" for i in range(n_cells)],
    )
    placed = not effects_only
    fit = BatchFit(
        log_delta=log_delta,
        se=se,
        measured=np.ones(log_delta.shape, dtype=bool),
        sample=state if placed else None,
        overlap=rng.uniform(0, 1, n_cells) if placed else None,
        embedding=after if placed else None,
        batches=tuple(batches),
        too_small=(),
        batch_sizes=np.bincount(cell_batch, minlength=n_batches),
        support=rng.uniform(0, 1, (n_batches, n_batches)),
        mu=np.ones((n_genes, n_states)),
        basis=np.ones((n_genes, 10)),
        trace={
            "change": 0.4 * 0.4 ** np.arange(6.0),
            "matched": np.array([0.7, 0.85, 0.9, 0.91, 0.92, 0.92]),
            "states": np.array([12.0, 9, 8, 8, 8, 8]),
            "objective": -np.array([9.0, 8, 7.5, 7.4, 7.39, 7.389]),
        },
        stop_reason="converged",
        method="matched",
        parameters={"seed": 0, "min_cells": 2},
        batch_key=("batch",),
        layer=None,
        versions={},
        timings={},
        obs=obs,
        var=pd.DataFrame(index=genes),
        evidence={"state_cells": np.full((n_states, n_batches), 10.0)},
    )
    adata = as_anndata(fit)
    adata.varm["log_delta_true"] = log_delta + rng.normal(0, 0.1, log_delta.shape)
    adata.uns["simulation"] = {"batches": np.array(batches, dtype=object)}
    if diagnosed:
        adata.uns[slots.RECORD]["diagnostics"] = _diagnostics(
            fit, rng=rng, cell_batch=cell_batch, before=before, after=after, state=state, placed=placed
        )
    return adata


def _diagnostics(fit, *, rng, cell_batch, before, after, state, placed):
    batches, genes = np.array(fit.batches, dtype=object), np.array(fit.var.index, dtype=object)
    n_genes, n_batches, n_states = len(genes), len(batches), fit.mu.shape[1]
    cells = np.zeros((n_states, n_batches))
    np.add.at(cells, (state, cell_batch), 1)
    share = cells / np.maximum(cells.sum(axis=1, keepdims=True), 1)
    own, other = np.nonzero(~np.eye(n_batches, dtype=bool))
    summarised = (own < other) if n_batches <= 10 else (other == (own + 1) % n_batches)
    pairs = [
        (batches[a], batches[b] if n_batches <= 10 else "")
        for a, b in zip(own[summarised], other[summarised], strict=True)
    ]
    explained = rng.beta(1, 12, n_genes)
    alone = np.where((cells > 0).sum(axis=1) < 2, batches[cells.argmax(axis=1)], "")
    best = np.argsort(-np.abs(fit.log_delta), axis=0)[: min(50, n_genes)]
    tables = {
        "need": pd.DataFrame(
            {
                "space": _SPACES,
                "explained": [0.21, 0.06, 0.34, 0.02],
                "null": [0.01, 0.011, 0.015, 0.016],
                "null_upper": [0.02, 0.02, 0.03, 0.03],
                "n_permutations": 20,
            }
        ).iloc[: 4 if placed else 2],
        "need_genes": pd.DataFrame(
            {
                "gene": genes,
                "explained_before": explained,
                "explained_after": explained * rng.uniform(0.01, 0.9, n_genes),
                "null_upper": 0.01,
            }
        ),
        "overlap_states": pd.DataFrame(
            {
                "state": np.arange(n_states),
                "n_cells": cells.sum(axis=1).astype(int),
                "n_batches": (cells > 0).sum(axis=1),
                "alone": alone.astype(object),
            }
        ),
        "balance": pd.concat(
            [_balance(pair, kind, names, rng) for pair in pairs for kind, names in _covariates(genes, placed=placed)],
            ignore_index=True,
        )
        if pairs
        else pd.DataFrame({name: [] for name in ("batch", "other", "kind", "name", "before", "after", "n_matched")}),
        "balance_summary": pd.DataFrame(
            {
                "batch": [own for own, _ in pairs],
                "other": [other for _, other in pairs],
                "mean_before": rng.uniform(0.2, 0.5, len(pairs)),
                "mean_after": rng.uniform(0.02, 0.15, len(pairs)),
                "over_01_before": 0.7,
                "over_01_after": 0.1,
            }
        ),
        "remainder": _remainder(genes, batches, n_states, rng),
        "remainder_states": pd.DataFrame(
            [
                (s, batches[k], int(cells[s, k]), rng.uniform(0.7, 3))
                for s in range(n_states)
                for k in range(n_batches)
                if cells[s, k]
            ],
            columns=["state", "batch", "n_cells", "mean_square"],
        ),
        "strongest": _strongest(fit, genes, batches, best),
        "cells": pd.DataFrame({"row": np.arange(len(state)), "batch": cell_batch.astype(np.int64)}),
    }
    arrays = {"state_batch": share}
    if placed:
        tables["overlap_pairs"] = pd.DataFrame(
            {
                "batch": batches[own],
                "other": batches[other],
                "share": rng.uniform(0, 1, len(own)),
                "distance_ratio": rng.uniform(0.9, 5, len(own)),
            }
        )
        tables["mixing"] = pd.DataFrame(
            {
                "batch": batches,
                "n_cells": cells.sum(axis=0).astype(int),
                "before": rng.uniform(0.6, 1, n_batches),
                "after": rng.uniform(0.3, 0.5, n_batches),
                "expected": rng.uniform(0.3, 0.4, n_batches),
            }
        )
        arrays["overlap_cells"] = np.column_stack([share[state, cell_batch], rng.uniform(0.9, 4, len(state))])
        arrays |= {"before": before, "after": after}
    return {**tables, **arrays}


def _covariates(genes, *, placed):
    yield "gene", genes[: min(40, len(genes))]
    if placed:
        yield "dim", np.array([f"dim {d + 1}" for d in range(10)], dtype=object)


def _balance(pair, kind, names, rng):
    before = rng.normal(0, 0.4, len(names))
    after = before * rng.uniform(-0.1, 0.4, len(names))
    columns = {"batch": pair[0], "other": pair[1], "kind": kind, "name": names, "before": before, "after": after}
    return pd.DataFrame(columns | {"n_matched": 312})


def _remainder(genes, batches, n_states, rng):
    n = 200
    z = rng.normal(0, 5, n)
    se = rng.uniform(0.05, 0.3, n)
    columns = {"gene": genes[rng.integers(0, len(genes), n)], "state": rng.integers(0, n_states, n)}
    columns["batch"] = batches[rng.integers(0, len(batches), n)]
    return pd.DataFrame(columns | {"log_ratio": z * se, "se": se, "z": z})


def _strongest(fit, genes, batches, best):
    parts = []
    families = np.array(["", "", "", "mitochondrial", "ribosomal", "stress"], dtype=object)
    for k, batch in enumerate(batches):
        at, se = best[:, k], np.where(np.isfinite(fit.se[best[:, k], k]), fit.se[best[:, k], k], 1.0)
        effect = fit.log_delta[at, k]
        columns = {"batch": batch, "rank": np.arange(len(at)), "gene": genes[at], "log_delta": effect, "se": se}
        columns |= {"lower": effect - 1.96 * se, "upper": effect + 1.96 * se, "q": 0.01}
        parts.append(pd.DataFrame(columns | {"family": families[at % len(families)]}))
    return pd.concat(parts, ignore_index=True)
