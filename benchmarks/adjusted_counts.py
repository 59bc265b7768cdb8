"""What adjusting counts takes away, and what it must not: the tables of decision 15.

python benchmarks/adjusted_counts.py                   effects of states on simulated counts, speed, cost
python benchmarks/adjusted_counts.py --data FOLDER     also how often the cap is met on the .h5ad files of a folder
"""

import argparse
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import anndata as ad
import numpy as np
from scipy import sparse

import unbatch as ub
from unbatch._types import FloatArray
from unbatch.core.adjust import Adjuster
from unbatch.core.state_effects import fit_state_effects
from unbatch.core.state_table import StateTable
from unbatch.io.sink import write_h5ad

N_BATCHES, N_TYPES, N_GENES = 4, 5, 250
ANSWER = 3.0
CAPS = (5.0, 10.0, 20.0)


def simulated(factor: FloatArray, *, n_cells: int, composition: float, seed: int) -> ad.AnnData:
    """Cells of several types in batches, their counts thinned by a factor of (types, batches, genes)."""
    n_types, n_batches, n_genes = factor.shape
    adata = ub.simulate(
        n_cells=n_cells,
        n_genes=n_genes,
        n_batches=n_batches,
        n_types=n_types,
        composition=composition,
        median_depth=1500,
        log_delta_sd=0.4,
        dispersion=0.05,
        seed=seed,
    )
    kind, batch = (adata.obs[name].cat.codes.to_numpy() for name in ("cell_type", "batch"))
    matrix = sparse.csr_matrix(adata.X)
    row = np.repeat(np.arange(adata.n_obs), np.diff(matrix.indptr))
    chance = factor[kind[row], batch[row], matrix.indices]
    matrix.data = np.random.default_rng(seed).binomial(matrix.data.astype(int), chance).astype(np.float32)
    adata.X = matrix
    adata.obs["treated"] = (batch >= n_batches // 2).astype(str)
    return adata


def planted(sd: float, shape: tuple[int, int, int], *, seed: int) -> FloatArray:
    """Gamma factors with mean a half and this standard deviation over the mean, at most 1."""
    if sd == 0:
        return np.ones(shape)
    return np.minimum(np.random.default_rng(seed).gamma(1 / sd**2, sd**2, shape) / 2, 1)


def adjust_both(adata: ad.AnnData, **design: str) -> float:
    """Adjust by the effects that all states share, and by those of states; give the usual size of the latter."""
    ub.tl.batch_effects(adata, batch_key="batch", state_specific=True, **design)
    for name, of_states in {"shared": False, "by_state": True}.items():
        ub.pp.adjust_counts(adata, state_specific=of_states, key_added=name)
    return float(adata.uns["unbatch"]["state_effects"]["sd"])


def log_rates(adata: ad.AnnData, layer: str | None) -> tuple[FloatArray, FloatArray]:
    """Log rate by type, batch and gene; and the fewest raw counts of any batch, by type and gene."""
    kind, batch = (adata.obs[name].cat.codes.to_numpy().astype(int) for name in ("cell_type", "batch"))
    shape = (kind.max() + 1, batch.max() + 1, adata.n_vars)
    group = kind * shape[1] + batch
    sums = sparse.csr_matrix((np.ones(adata.n_obs), (group, np.arange(adata.n_obs))), (shape[0] * shape[1], len(kind)))
    counts = (sums @ sparse.csr_matrix(adata.X if layer is None else adata.layers[layer])).toarray()
    rate = np.log((counts + 0.5) / counts.sum(axis=1, keepdims=True)).reshape(shape)
    return rate, (sums @ sparse.csr_matrix(adata.X)).toarray().reshape(shape).min(axis=1)


def left(adata: ad.AnnData, layer: str) -> float:
    """Root mean square over types and genes of what still tells batches apart."""
    rate, fewest = log_rates(adata, layer)
    apart = rate - rate.mean(axis=1, keepdims=True)
    return float(np.sqrt((apart.transpose(0, 2, 1)[fewest > 50] ** 2).mean()))


def share_kept(adata: ad.AnnData, layer: str | None, answers: FloatArray) -> float:
    """Share of the answer of type 1 to the treatment that is in the counts."""
    rate, fewest = log_rates(adata, layer)
    half, known = rate.shape[1] // 2, fewest[1] > 50
    fold = rate[1, half:].mean(axis=0) - rate[1, :half].mean(axis=0)
    return float((np.median(fold[answers & known]) - np.median(fold[~answers & known])) / -np.log(ANSWER))


def states_table() -> None:
    """Plant effects of states of several sizes."""
    print("planted sd | cells, genes, types | composition | seed | sd found | left: delta | with rho | cells compared")
    small, large = (3000, (N_TYPES, N_BATCHES, N_GENES)), (6000, (8, N_BATCHES, 1500))
    settings = [(sd, *small, comp) for sd in (0.0, 0.1, 0.2, 0.3) for comp in (3.0, 0.7)] + [(0.3, *large, 2.0)]
    for sd, n_cells, shape, composition in settings:
        for seed in (0, 1):
            adata = simulated(planted(sd, shape, seed=5 + seed), n_cells=n_cells, composition=composition, seed=seed)
            found = adjust_both(adata)
            cells = adata.uns["unbatch"]["evidence"]["state_cells"]
            compared = (cells * adata.uns["unbatch"]["evidence"]["state_support"]).sum() / cells.sum()
            sizes = f"{n_cells}, {shape[2]}, {shape[0]} | {composition} | {seed}"
            row = f"{found:.3f} | {left(adata, 'shared'):.4f} | {left(adata, 'by_state'):.4f} | {compared:.0%}"
            print(f"{sd} | {sizes} | {row}")


def answer_table() -> None:
    """Plant an answer of one type to a treatment of half of the batches."""
    print("\nother effects of states | seed | treatment given | sd found | kept: raw | delta | with rho")
    for background in (0.0, 0.2):
        for seed in (0, 1):
            for design in ({}, {"match_within": "treated"}):
                rng = np.random.default_rng(seed + 10)
                answers = rng.random(N_GENES) < 0.15
                factor = planted(background, (N_TYPES, N_BATCHES, N_GENES), seed=seed + 20)
                factor[1, N_BATCHES // 2 :] *= np.where(answers, 1 / ANSWER, 1.0)
                adata = simulated(factor, n_cells=3000, composition=3.0, seed=seed)
                found = adjust_both(adata, **design)
                kept = " | ".join(f"{share_kept(adata, layer, answers):.3f}" for layer in (None, "shared", "by_state"))
                print(f"{background} | {seed} | {'yes' if design else 'no'} | {found:.3f} | {kept}")


def speed_table() -> None:
    """Time blocks that are in memory."""
    rng = np.random.default_rng(1)
    counts = sparse.csr_array(rng.poisson(1.0, (3000, 2000)).astype(np.float32))
    delta, batch = np.exp(rng.normal(0, 0.5, (2000, 3))), rng.integers(0, 3, 3000).astype(np.int32)
    print("\nmillion counts a second")
    for options in ({}, {"max_factor": 2.0}, {"keep_library_size": True}, {"mode": "thin"}):
        by = Adjuster(delta, np.ones(delta.shape, dtype=bool), ub.AdjustOptions(**options))
        by.adjust(counts, batch)
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            by.adjust(counts, batch)
            seconds.append(time.perf_counter() - start)
        print(f"{options or 'scale'}: {counts.nnz / np.median(seconds) / 1e6:.0f}")


def cost_table(n_genes: int = 20_000, n_states: int = 40, n_batches: int = 20) -> None:
    """Measure time, memory and disk that effects of states take."""
    rng = np.random.default_rng(0)
    print(f"\n{n_genes} genes x {n_states} states x {n_batches} batches: sd | found | seconds | MB | MB on disk")
    for sd in (0.0, 0.2):
        exposure = rng.uniform(5, 60, (n_states, n_batches))
        mean = rng.lognormal(-1.0, 2.0, (n_genes, 1, 1)) * exposure
        if sd:
            mean = mean * rng.gamma(1 / sd**2, sd**2, mean.shape)
        sums = rng.poisson(mean).astype(float)
        table = StateTable(counts=sums, squares=sums, exposure=exposure, cells=np.full(exposure.shape, 50.0))
        nothing, everywhere = np.zeros((n_genes, n_batches)), np.ones(exposure.shape, dtype=bool)
        start = time.perf_counter()
        found = fit_state_effects(table, log_delta=nothing, dispersion=np.ones(n_genes), support=everywhere)
        seconds = time.perf_counter() - start
        with TemporaryDirectory() as folder:
            path = Path(folder) / "states.h5ad"
            write_h5ad(path, ad.AnnData(shape=(1, 1), uns={"steps": found.steps}))
            disk = path.stat().st_size
        print(f"{sd} | {found.sd:.3f} | {seconds:.1f} | {found.steps.nbytes / 1e6:.1f} | {disk / 1e6:.2f}")


def cap_table(folder: Path) -> None:
    """Count how often the cap is met on real counts."""
    print(f"\nset | largest 1/delta | effects (counts) capped at {CAPS} | kept by thin | of them capped | sd of rho")
    for path in sorted(folder.glob("*.h5ad")):
        adata = ad.read_h5ad(path)
        ub.tl.batch_effects(adata, batch_key="batch", state_specific=True)
        capped = []
        for most in CAPS:
            ub.pp.adjust_counts(adata, max_factor=most)
            said = adata.uns["unbatch"]["adjusted"]["adjusted"]
            capped.append(f"{said['capped_effects']} ({said['capped_counts']})")
        ub.pp.adjust_counts(adata, mode="thin")
        said, kept = adata.uns["unbatch"]["adjusted"]["adjusted"], adata.layers["adjusted"].sum() / adata.X.sum()
        largest, sd = np.exp(-adata.varm["batch_effects"].min()), adata.uns["unbatch"]["state_effects"]["sd"]
        print(f"{path.stem} | {largest:.1f} | {', '.join(capped)} | {kept:.0%} | {said['capped_counts']} | {sd:.3f}")


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="a folder with .h5ad files of raw counts")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", ub.InputWarning)
    states_table()
    answer_table()
    speed_table()
    cost_table()
    if arguments.data:
        cap_table(arguments.data)


if __name__ == "__main__":
    main()
