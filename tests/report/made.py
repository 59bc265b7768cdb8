"""Fits made by hand, of any size and with any names, with the record of diagnostics that a fit leaves."""

import anndata as ad
import numpy as np
import pandas as pd

HOSTILE = (
    "<script>window.hit = 1</script>",
    "</script><img src=x onerror='window.hit = 1'>",
    "--><svg onload=window.hit=1>",
    "\"quoted\" and 'quoted'",
    "a&b; &lt;i&gt;",
    '=HYPERLINK("http://127.0.0.1:9/","x")',
    "@SUM(A1:A9)",
    "+1+1",
    "-AS1",
    "comma, and\nline",
    "\N{DNA DOUBLE HELIX}\N{GREEK SMALL LETTER DELTA} gene",
    "\N{RIGHT-TO-LEFT OVERRIDE}desrever",
    "{{ 7 * 7 }}{% raw %}",
    "\u2028line separator",
    "x" * 10_000,
)


def made(*, genes, batches, n_cells=60, diagnostics=True, seed=0, **record):
    """AnnData with the slots of a fit, filled with random numbers."""
    random = np.random.default_rng(seed)
    genes, batches = list(genes), list(batches)
    shape = (len(genes), len(batches))
    codes = np.arange(n_cells) % len(batches)
    obs = pd.DataFrame({"batch": [batches[code] for code in codes]}, index=[f"c{place}" for place in range(n_cells)])
    adata = ad.AnnData(
        obs=obs.assign(
            unbatch_sample=codes, unbatch_overlap=random.uniform(size=n_cells), kind=["<b>T</b>", "B"] * (n_cells // 2)
        ),
        var=pd.DataFrame(index=genes),
        obsm={"X_unbatch": random.normal(size=(n_cells, 4)).astype(np.float32)},
        varm={
            "batch_effects": random.normal(0, 0.5, size=shape),
            "batch_effects_se": random.uniform(0.05, 0.5, size=shape),
        },
    )
    adata.uns["unbatch"] = {
        "format": 1,
        "placed": True,
        "method": "matched",
        "parameters": {"caliper": 6.0, "min_cells": 2, "seed": 0},
        "batch_key": np.array(["batch"], dtype=object),
        "layer": "X",
        "batches": np.array(batches, dtype=object),
        "batch_sizes": np.bincount(codes, minlength=len(batches)),
        "too_small": np.array([], dtype=object),
        "genes": np.array(genes, dtype=object),
        "measured": np.ones(shape, dtype=bool),
        "reference": "",
        "stop_reason": "converged",
        "trace": {"change": np.array([0.5, 0.1, 0.001]), "states": np.array([9.0, 8.0, 8.0])},
        "support": random.uniform(size=(len(batches), len(batches))),
        "mu": np.ones((len(genes), 2)),
        "basis": np.ones((len(genes), 2)),
        "versions": {"unbatch": "0.0.1", "numpy": "2.0"},
        "timings": {"reading counts": 1.5, "fitting effects": 2.5},
        "peak_bytes": 1.5e9,
        "command": "",
        **record,
    }
    if diagnostics:
        adata.uns["unbatch"]["diagnostics"] = diagnostics_of(adata, genes=genes, batches=batches)
    return adata


def diagnostics_of(adata, *, genes, batches):
    """A record with every table, and numbers that tell its rows apart."""
    random = np.random.default_rng(0)
    n_genes, n_batches = len(genes), len(batches)
    pairs = [(a, b) for i, a in enumerate(batches) for b in batches[i + 1 :]]
    pairs = pairs if len(pairs) <= 45 else [(a, "") for a in batches]
    both = [(a, b) for a in batches for b in batches if a != b]
    rows = np.sort(random.choice(adata.n_obs, min(adata.n_obs, 300), replace=False))
    codes = pd.Index(batches).get_indexer(adata.obs["batch"].astype(str).to_numpy()[rows])
    after = np.asarray(adata.obsm["X_unbatch"], dtype=np.float32)[rows]
    before = after + 6 * np.eye(after.shape[1], dtype=np.float32)[codes % after.shape[1]]
    top = list(genes[:12])
    states = [str(state) for state in range(6)]

    def share(n):
        return random.uniform(0, 1, n)

    return {
        "verdicts": pd.DataFrame(
            [
                ("need", "fine", 0.41, 0.02, "Batches explain 41% of the variance, 2% by chance.", ""),
                ("overlap", "look here", 0.3, 0.5, f"Of batch {batches[0]} 30% have a match.", "Look at the pairs."),
                ("balance", "fine", 0.04, 0.1, "Matched cells differ by 0.04 standard deviations.", ""),
                ("mixing", "do not trust", 0.9, 0.4, "90% of neighbours are of the same batch.", "Fit more rounds."),
                ("convergence", "fine", 0.001, 0.01, "Effects moved by 0.001 in the last round.", ""),
            ],
            columns=["check", "verdict", "value", "threshold", "text", "cure"],
        ),
        "need": pd.DataFrame(
            {
                "space": ["genes", "embedding before", "embedding after"],
                "explained": [0.11, 0.41, 0.02],
                "null": [0.01, 0.012, 0.011],
                "null_upper": [0.02, 0.022, 0.021],
                "n_permutations": [20, 20, 20],
            }
        ),
        "need_genes": pd.DataFrame(
            {
                "gene": genes,
                "explained_before": share(n_genes),
                "explained_after": share(n_genes) / 9,
                "null_upper": np.full(n_genes, 0.05),
            }
        ),
        "overlap_pairs": pd.DataFrame(
            {
                "batch": [a for a, _ in both],
                "other": [b for _, b in both],
                "share": share(len(both)),
                "distance_ratio": 1 + share(len(both)),
            }
        ),
        "overlap_states": pd.DataFrame(
            {
                "state": states,
                "n_cells": [90, 80, 50, 40, 30, 10],
                "n_batches": [3, 3, 3, 2, 2, 1],
                "alone": ["", "", "", "", "", batches[-1]],
            }
        ),
        "balance": pd.DataFrame(
            [
                (a, b, kind, name, before, before / 5)
                for (a, b), before in zip(pairs, random.normal(size=len(pairs)), strict=True)
                for kind, name in (("gene", top[0]), ("gene", top[1]), ("dim", "1"))
            ],
            columns=["batch", "other", "kind", "name", "before", "after"],
        ),
        "balance_summary": pd.DataFrame(
            {
                "batch": [a for a, _ in pairs],
                "other": [b for _, b in pairs],
                "mean_before": 0.4 * share(len(pairs)) + 0.1,
                "mean_after": 0.1 * share(len(pairs)),
                "over_01_before": share(len(pairs)),
                "over_01_after": share(len(pairs)) / 8,
            }
        ),
        "mixing": pd.DataFrame(
            {
                "batch": batches,
                "n_cells": np.full(n_batches, 90),
                "before": 0.5 + share(n_batches) / 2,
                "after": share(n_batches) / 2,
                "expected": np.full(n_batches, 1 / n_batches),
            }
        ),
        "remainder": pd.DataFrame(
            {
                "gene": top,
                "state": (states * 2)[: len(top)],
                "batch": [batches[place % n_batches] for place in range(len(top))],
                "log_ratio": np.linspace(1.2, -1.2, len(top)),
                "se": np.full(len(top), 0.1),
                "z": np.linspace(12, -12, len(top)),
            }
        ),
        "remainder_states": pd.DataFrame(
            {"state": states[:2], "batch": batches[:2], "n_cells": [50, 40], "mean_square": [3.1, 1.4]}
        ),
        "strongest": pd.DataFrame(
            {
                "batch": [batches[0]] * len(top),
                "rank": np.arange(len(top)) + 1,
                "gene": top,
                "family": ["mitochondrial", "sex", *[""] * (len(top) - 2)],
            }
        ),
        "families": pd.DataFrame(
            {
                "batch": batches[:2],
                "family": ["mitochondrial", "sex"],
                "n_genes": [13, 4],
                "median_log_delta": [0.8, -0.1],
                "p": [1e-9, 0.4],
            }
        ),
        "cells": pd.DataFrame({"row": rows, "batch": codes}),
        "before": before,
        "after": after,
        "probes": pd.DataFrame(
            {
                "probe": ["split", "removed"],
                "batch": batches[:2],
                "state_or_label": ["", states[0]],
                "value": [0.01, 0.02],
                "expected": [0.0, 0.0],
                "verdict": ["fine", "fine"],
            }
        ),
    }
