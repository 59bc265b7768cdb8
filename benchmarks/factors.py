"""Measure how well gene programmes and their activities are found, with batch effects as offsets and without.

    python benchmarks/factors.py [--seeds 5] [--cells 1000] [--figure FIGURE.png]
    python benchmarks/factors.py --data FILE.h5ad --batch-key batch --n-factors 12 [--label-key cell_type]

Without --data: the toy (500 genes, 2 batches, 5 factors, effects of standard deviation 1, other seeds by --seeds), also
with batches that have other mixtures of the factors (--confounding).

With --data: real counts, where no truth is known. Shown are time, held-out deviance by number of factors, how much the
batch can be told from the activities, and how much of the label.
"""

import argparse
import time
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

import unbatch as ub
from unbatch._types import FloatArray

KINDS = ("adjusted", "planted effects", "not adjusted", "not adjusted, groups by PCA")
MEASURES = ("beta", "lift", "theta", "beta, least", "theta, least", "beta as planted")


def matched(truth: FloatArray, found: FloatArray) -> FloatArray:
    """Correlation of each column of the truth with its counterpart, (n_factors,)."""
    n = truth.shape[1]
    correlation = np.corrcoef(truth.T, found.T)[:n, n:]
    return correlation[linear_sum_assignment(-correlation)]


def identifiable(adata: anndata.AnnData) -> tuple[FloatArray, FloatArray]:
    """Programmes, columns summing to 1, and shares of counts of each cell, as far as counts can tell them.

    A factor per gene that all batches share cannot be told from expression: it belongs to the programmes.
    """
    beta = adata.varm["beta_true"] * np.exp(adata.varm["log_delta_true"].mean(axis=1))[:, None]
    theta = adata.obsm["theta_true"] * beta.sum(axis=0)
    return beta / beta.sum(axis=0), theta / theta.sum(axis=1, keepdims=True)


def lift(beta: FloatArray) -> FloatArray:
    """Programmes relative to their mean, gene by gene."""
    return beta / beta.mean(axis=1, keepdims=True)


def measure(adata: anndata.AnnData, key: str) -> dict[str, float]:
    """Compare what is in the slots of a key with the truth."""
    beta, theta = identifiable(adata)
    found, shares = np.asarray(adata.varm[key]), np.asarray(adata.obsm[f"X_{key}"], dtype=np.float64)
    of_beta, of_theta = matched(beta, found), matched(theta, shares)
    planted = adata.varm["beta_true"]
    values = (
        of_beta.mean(),
        matched(lift(beta), lift(found)).mean(),
        of_theta.mean(),
        of_beta.min(),
        of_theta.min(),
        matched(planted / planted.sum(axis=0), found).mean(),
    )
    return dict(zip(MEASURES, map(float, values), strict=True))


def log_pca(adata: anndata.AnnData, n_dims: int = 20) -> FloatArray:
    """Principal components of log-normalised counts, as one would use without this package."""
    counts = np.asarray(adata.X.todense() if hasattr(adata.X, "todense") else adata.X, dtype=np.float64)
    total = counts.sum(axis=1, keepdims=True)
    logs = np.log1p(counts / total * np.median(total))
    left, scale, _ = np.linalg.svd(logs - logs.mean(axis=0), full_matrices=False)
    return np.asarray(left[:, :n_dims] * scale[:n_dims], dtype=np.float32)


def with_effects(adata: anndata.AnnData, log_delta: FloatArray, where: FloatArray | None = None) -> anndata.AnnData:
    """Give a copy that holds other effects, and other places of cells."""
    other = adata.copy()
    other.varm["batch_effects"] = log_delta
    if where is not None:
        other.obsm["X_unbatch"] = where
    return other


def run_toy(seed: int, *, n_cells: int, confounding: float, n_factors: int) -> list[dict[str, float | str]]:
    """Find programmes in one toy in each way."""
    adata = ub.simulate(seed=seed, n_cells=n_cells, confounding=confounding)
    ub.tl.batch_effects(adata, batch_key="batch")
    truth = adata.varm["log_delta_true"]
    planted = truth - truth.mean(axis=1, keepdims=True)
    variants = {
        "adjusted": (adata, True),
        "planted effects": (with_effects(adata, planted), True),
        "not adjusted": (adata, False),
        "not adjusted, groups by PCA": (with_effects(adata, np.zeros_like(truth), log_pca(adata)), True),
    }
    rows: list[dict[str, float | str]] = []
    for kind, (data, adjusted) in variants.items():
        start = time.perf_counter()
        ub.tl.factors(data, n_factors=n_factors, adjusted=adjusted)
        rows.append({"kind": kind, "seconds": time.perf_counter() - start, **measure(data, "factors")})
    return rows


def summarise(rows: list[dict[str, float | str]]) -> str:
    """Give a table: mean over seeds, and the worst seed of beta and theta."""
    table = pd.DataFrame(rows)
    lines = [
        "| | " + " | ".join(MEASURES) + " | worst seed: beta, theta |",
        "|---" * (len(MEASURES) + 2) + "|",
    ]
    for kind in KINDS:
        mine = table[table["kind"] == kind]
        means = " | ".join(f"{mine[name].mean():.3f}" for name in MEASURES)
        lines.append(f"| {kind} | {means} | {mine['beta'].min():.3f}, {mine['theta'].min():.3f} |")
    return "\n".join(lines)


def toys(arguments: argparse.Namespace) -> None:
    """Print tables for the toy, and the numbers of factors that are chosen."""
    for confounding in (0.0, 0.6):
        rows = [
            row
            for seed in range(arguments.seeds)
            for row in run_toy(seed, n_cells=arguments.cells, confounding=confounding, n_factors=5)
        ]
        print(f"\nconfounding {confounding}, {arguments.cells} cells, seeds 0 to {arguments.seeds - 1}\n")
        print(summarise(rows))
    chosen = []
    for seed in range(arguments.seeds):
        adata = ub.simulate(seed=seed, n_cells=arguments.cells)
        ub.tl.batch_effects(adata, batch_key="batch")
        ub.tl.factors(adata, n_factors=range(2, 11))
        table = ub.get.factor_choice(adata)
        chosen.append(int(table["n_factors"][table["chosen"]].iloc[0]))
        if seed == 0:
            print("\nheld-out deviance, seed 0\n")
            print(table.to_string(index=False))
    print(f"\nchosen of 2 to 10 factors, by seed: {chosen}\n\ndeviance of held-out cells, seed 0\n")
    adata = ub.simulate(seed=0, n_cells=arguments.cells)
    ub.tl.batch_effects(adata, batch_key="batch")
    print(grain(adata, [4, 5]))


def predictable(shares: FloatArray, labels: pd.Series) -> float:
    """Accuracy of nearest neighbours on activities at telling a label, less that of its largest class."""
    from sklearn.model_selection import cross_val_score
    from sklearn.neighbors import KNeighborsClassifier

    codes = labels.astype("category").cat.codes.to_numpy()
    score = cross_val_score(KNeighborsClassifier(15), np.sqrt(shares), codes, cv=5).mean()
    return float(score - np.bincount(codes).max() / codes.size)


def real(arguments: argparse.Namespace) -> None:
    """Print what programmes of real counts are like."""
    adata = anndata.read_h5ad(arguments.data)
    ub.tl.batch_effects(adata, batch_key=arguments.batch_key)
    for kind, adjusted in (("adjusted", True), ("not adjusted", False)):
        start = time.perf_counter()
        ub.tl.factors(adata, n_factors=arguments.n_factors, adjusted=adjusted)
        seconds = time.perf_counter() - start
        shares = np.asarray(adata.obsm["X_factors"], dtype=np.float64)
        of_batch = predictable(shares, adata.obs[arguments.batch_key])
        text = f"{kind}: {seconds:.1f} s, batch told beyond chance {of_batch:.3f}"
        if arguments.label_key:
            text += f", label {predictable(shares, adata.obs[arguments.label_key].astype(str)):.3f}"
        record = adata.uns["unbatch_factors"]
        print(f"{text}; {record['unconverged']} cells not converged; updates: {record['stop_reason']}")
        if adjusted:
            print(ub.get.factors(adata, n_genes=6).groupby("factor")["gene"].agg(", ".join).to_string())
    ub.tl.factors(adata, n_factors=[3, 5, 8, 12, 16, 20, 30])
    print(ub.get.factor_choice(adata).to_string(index=False))
    print(grain(adata, [arguments.n_factors, 20]))


def grain(adata: anndata.AnnData, n_factors: list[int]) -> str:
    """Give the deviance of held-out cells by number of pseudobulks, as a table."""
    lines = ["| pseudobulks | " + " | ".join(f"{n} factors" for n in sorted(set(n_factors))) + " |"]
    lines.append("|---" * (len(set(n_factors)) + 1) + "|")
    for wanted in (40, 100, 250, 1000):
        ub.tl.factors(adata, n_factors=n_factors, n_pseudobulks=wanted)
        of = ub.get.factor_choice(adata)["deviance"]
        made = adata.uns["unbatch_factors"]["n_pseudobulks"]
        lines.append(f"| {made} | " + " | ".join(f"{value:.1f}" for value in of) + " |")
    return "\n".join(lines)


def draw(path: Path) -> None:
    """Draw the structure plot of the toy, before and after."""
    from matplotlib.figure import Figure

    adata = ub.datasets.toy()
    ub.tl.batch_effects(adata, batch_key="batch")
    ub.tl.factors(adata, n_factors=5, adjusted=False, key_added="before")
    ub.tl.factors(adata, n_factors=5)
    figure = Figure(figsize=(8, 5.4), layout="constrained")
    before, after = figure.subplots(2, 1)
    ub.pl.structure(adata, key="before", group_by="batch", title="counts as they are", ax=before)
    ub.pl.structure(adata, group_by="batch", title="batch effects as offsets", ax=after)
    figure.savefig(path, dpi=110)


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--batch-key", default="batch")
    parser.add_argument("--label-key")
    parser.add_argument("--n-factors", type=int, default=12)
    arguments = parser.parse_args()
    if arguments.figure:
        draw(arguments.figure)
    elif arguments.data:
        real(arguments)
    else:
        toys(arguments)


if __name__ == "__main__":
    main()
