"""What cells that are in the data more than once, and counts that were multiplied, do to effects: decisions 41 and 42.

python benchmarks/spoilt_counts.py
"""

import argparse
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

import unbatch as ub
from unbatch._types import FloatArray, IntArray
from unbatch.demo.measures import in_convention

N_CELLS, N_BATCHES = 1500, 3
KNOWN_95 = 1.96


@dataclass(frozen=True)
class Spoilt:
    """Rows of the data, the batch that each is said to be of, and what the counts of each batch are multiplied by."""

    cells: IntArray
    batch: IntArray
    times: tuple[int, ...] = (1,) * N_BATCHES


def ways(batch: IntArray, *, seed: int) -> dict[str, Spoilt]:
    """Ways to hold some cells more than once, or to multiply counts."""
    cells, rng = np.arange(N_CELLS), np.random.default_rng(seed)
    found = {f"each {times} times": Spoilt(np.tile(cells, times), np.tile(batch, times)) for times in (1, 2, 4)}
    for share in (0.05, 0.2):
        some = rng.choice(N_CELLS, int(share * N_CELLS), replace=False)
        moved = np.append(batch, (batch[some] + 1) % N_BATCHES)
        found[f"{share:.0%} once more in another batch"] = Spoilt(np.append(cells, some), moved)
    sizes = np.bincount(batch)
    small = np.flatnonzero(batch == sizes.argmin())
    moved = np.append(batch, np.full(small.size, sizes.argmax()))
    found["the smallest batch once more in the largest"] = Spoilt(np.append(cells, small), moved)
    for factor in (2, 3, 10):
        found[f"counts of one batch times {factor}"] = Spoilt(cells, batch, (1, factor, 1))
    found["counts of all batches times 3"] = Spoilt(cells, batch, (3, 3, 3))
    return found


def judged(counts: sparse.csr_matrix, batch: IntArray, truth: FloatArray) -> tuple[float, float]:
    """Root mean square error of a fit, and the share of the truth that its 95% intervals hold."""
    fit = ub.BatchModel().fit(counts, [f"batch {code}" for code in batch]).result
    error, known = fit.log_delta - truth, np.isfinite(fit.se)
    return np.sqrt(np.mean(error[known] ** 2)), np.mean(np.abs(error)[known] < KNOWN_95 * fit.se[known])


def table(seeds: int) -> pd.DataFrame:
    """Mean error and coverage by way, over simulated sets."""
    rows = []
    for seed in range(seeds):
        adata = ub.simulate(
            n_cells=N_CELLS,
            n_genes=300,
            n_batches=N_BATCHES,
            n_types=4,
            median_depth=1000,
            log_delta_sd=0.4,
            composition=1.0,
            seed=seed,
        )
        counts, batch = sparse.csr_matrix(adata.X), adata.obs["batch"].cat.codes.to_numpy().astype(np.int64)
        truth = in_convention(adata.varm["log_delta_true"], np.asarray(counts.sum(axis=0)).ravel())
        for way, spoilt in ways(batch, seed=seed).items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ub.InputWarning)
                times = np.array(spoilt.times)[batch[spoilt.cells]]
                multiplied = sparse.csr_matrix(counts[spoilt.cells].multiply(times[:, None]))
                rmse, held = judged(multiplied, spoilt.batch, truth)
            rows.append({"data": way, "error": rmse, "95% intervals hold": held})
    return pd.DataFrame(rows).groupby("data", sort=False).mean()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    print(table(parser.parse_args().seeds).round(3).to_string())


if __name__ == "__main__":
    main()
