"""Run the probes: change the data, embed what was changed, compare with what was embedded of the data as they are."""

from collections.abc import Sequence
from pathlib import Path

import anndata
import numpy as np
import pandas as pd

from integration import probes
from integration.problems import Problem, write
from integration.work import Pythons, Task, embed, seeds_of

PROBED = (
    "cell_lines",
    "kang_harmony_2000",
    "kang_muscat_4samples",
    "mesc_scmerge_2batches",
    "mix3_celseq2_dropseq",
    "pbmc_ensemblemerge_3p5p",
)
"""Sets that the probes run on: small ones, of every kind."""

_EFFECTS = "split_effects"
_SPLIT = ["set", "method", "split", "seeds"]
_COVERED = ["set", "seed", "genes", "coverage", "called", "rms"]
_REMOVED = ["set", "method", "label", "batch", "before", "after", "loss", "into"]


def split_batches(
    sets: Sequence[Problem], methods: Sequence[str], seeds: Sequence[int], *, pythons: Pythons
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split the largest batch of each set at random, once per seed.

    Gives, per set and method, the share of neighbours kept when the batch is split and when only the seed differs; and,
    per set and seed, how many genes' intervals of the effect between the halves hold the truth, which is none.
    """
    halved = {(problem.name, seed): _split(problem, seed) for problem in sets for seed in seeds}
    plain = {(p.name, m): [Task(p.path, m, seed) for seed in seeds_of(m, seeds)] for p in sets for m in methods}
    split = {(name, m): [Task(halved[name, t.seed], m, t.seed) for t in tasks] for (name, m), tasks in plain.items()}
    effects = {key: Task(path, _EFFECTS, key[1]) for key, path in halved.items()}
    embed([task for tasks in (*plain.values(), *split.values()) for task in tasks] + list(effects.values()), pythons)
    rows = []
    for (name, method), tasks in plain.items():
        both = [*tasks, *split[name, method]]
        if not all(task.output.exists() for task in both):
            continue
        before, after = ([np.load(task.output) for task in some] for some in (tasks, split[name, method]))
        by_split = float(np.mean([probes.kept(a, b) for a, b in zip(before, after, strict=True)]))
        rows.append({"set": name, "method": method, "split": by_split, "seeds": probes.kept_by_seeds(before)})
    return pd.DataFrame(rows, columns=_SPLIT), pd.DataFrame(_covered(effects), columns=_COVERED)


def _covered(effects: dict[tuple[str, int], Task]) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for (name, seed), task in effects.items():
        if not task.output.exists():
            continue
        table = pd.read_csv(task.output)
        rows.append(
            {
                "set": name,
                "seed": seed,
                "genes": len(table),
                "coverage": probes.coverage(table["lower"].to_numpy(), table["upper"].to_numpy()),
                "called": int((table["qvalue"] < 0.05).sum()),
                "rms": float(np.sqrt((table["log_delta"] ** 2).mean())),
            }
        )
    return rows


def remove_types(
    sets: Sequence[Problem], methods: Sequence[str], seeds: Sequence[int], *, pythons: Pythons
) -> pd.DataFrame:
    """Take each type out of the batch that has most of it; give the purity of its other cells before and after."""
    cases = [(problem, *case) for problem in sets for case in _without(problem)]
    tasks = {
        (problem.name, removal, method): (Task(problem.path, method, seeds[0]), Task(path, method, seeds[0]))
        for problem, removal, path, _ in cases
        for method in methods
    }
    embed([task for pair in tasks.values() for task in pair], pythons)
    rows = []
    for problem, removal, _, stays in cases:
        label = anndata.read_h5ad(problem.path, backed="r").obs["label"].astype(str).to_numpy()[stays]
        cells = np.flatnonzero(label == removal.label)
        for method in methods:
            plain, reduced = (task.output for task in tasks[problem.name, removal, method])
            if not (plain.exists() and reduced.exists()):
                continue
            found = probes.purity(np.load(plain)[stays], np.load(reduced), label, cells)
            about = {"set": problem.name, "method": method, "label": removal.label, "batch": removal.batch}
            rows.append(about | {"before": found.before, "after": found.after, "loss": found.loss, "into": found.into})
    return pd.DataFrame(rows, columns=_REMOVED)


def _split(problem: Problem, seed: int) -> Path:
    folder = problem.folder / f"split-{seed}"
    path = folder / "data.h5ad"
    if not path.exists():
        adata = anndata.read_h5ad(problem.path)
        adata.obs["batch"] = probes.split_largest(adata.obs["batch"].astype(str).to_numpy(), seed)
        write(adata, folder)
    return path


def _without(problem: Problem) -> list[tuple[probes.Removal, Path, np.ndarray]]:
    adata = anndata.read_h5ad(problem.path)
    label, batch = (adata.obs[key].astype(str).to_numpy() for key in ("label", "batch"))
    found = []
    for number, removal in enumerate(probes.removals(label, batch, adata.obs["scored"].to_numpy())):
        stays = (label != removal.label) | (batch != removal.batch)
        folder = problem.folder / f"without-{number}"
        if not (folder / "data.h5ad").exists():
            write(adata[stays].copy(), folder)
        found.append((removal, folder / "data.h5ad", stays))
    return found
