"""All scores of a run: a row per set, method and seed."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from integration.methods import METHODS
from integration.problems import Problem
from integration.total import METRICS
from integration.work import Pythons, Task, embed, score, seeds_of


def compare(
    sets: Sequence[Problem],
    methods: Sequence[str],
    seeds: Sequence[int],
    *,
    pythons: Pythons,
    added: Sequence[tuple[Path, str]] = (),
) -> pd.DataFrame:
    """Embed each set by each method and score it.

    Columns: set, method, seed, the metrics, batch, bio, total, and `note`: why there is no score, where there is none.
    Embeddings in `added`, as (file, name), come last; several of one name count as seeds of one method.
    """
    tasks = [
        (problem, Task(problem.path, method, seed))
        for method in sorted(methods, key=list(METHODS).index)
        for problem in sorted(sets, key=lambda problem: problem.n_cells)
        for seed in seeds_of(method, seeds)
    ]
    embed([task for _, task in tasks], pythons)
    rows = [(problem, task.method, task.seed, task.output, task.error) for problem, task in tasks]
    for number, (path, name) in enumerate(added):
        rows += [(problem, name, number, kept, None) for problem, kept in _take_in(path, sets)]
    scores = score([(problem.path, output) for problem, _, _, output, _ in rows], pythons.peers)
    about = [
        {"set": problem.name, "method": method, "seed": seed, "note": _note(found, output, error)} | (found or {})
        for (problem, method, seed, output, error), found in zip(rows, scores, strict=True)
    ]
    return pd.DataFrame(about, columns=["set", "method", "seed", "note", *METRICS, "batch", "bio", "total"])


def _note(found: dict[str, float] | None, output: Path, error: str | None) -> str:
    if found is not None:
        return ""
    return f"failed: {error}" if error else "not scored" if output.exists() else "not run"


def _take_in(path: Path, sets: Sequence[Problem]) -> list[tuple[Problem, Path]]:
    found = []
    with np.load(path) as arrays:
        for problem in sets:
            if problem.name not in arrays:
                continue
            values = np.asarray(arrays[problem.name], dtype=np.float32)
            if values.ndim != 2 or len(values) != problem.n_cells:
                raise ValueError(f"{path}: {problem.name} is {values.shape}, for {problem.n_cells} cells")
            kept = problem.folder / f"added-{hashlib.sha256(values.tobytes()).hexdigest()[:16]}.npy"
            np.save(kept, values)
            found.append((problem, kept))
    return found
