"""Embeddings and scores of a run: what is in the cache is kept, what is missing is computed by the Python it needs."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import unbatch
from integration.methods import METHODS, Where
from integration.total import summary

_BENCHMARKS = Path(__file__).parents[1]
_SCORING = "1"
"""Raised when the metrics change, so that no old score is taken for a new one."""


@dataclass(frozen=True)
class Pythons:
    """The Python of each kind of method; None where there is none, and nothing of it is computed."""

    peers: str | None
    scvi: str | None

    def of(self, where: Where) -> str | None:
        """Give the Python that runs a kind of method."""
        return {Where.OURS: sys.executable, Where.PEERS: self.peers, Where.SCVI: self.scvi}[where]


@dataclass(frozen=True)
class Task:
    """One method on one set with one seed."""

    data: Path
    """The .h5ad of the set, in the folder where its results are kept."""
    method: str
    seed: int

    @property
    def input(self) -> Path:
        """What the method is given: the set, or what another method made of it."""
        before = METHODS[self.method].after
        return self.data if before is None else Task(self.data, before, self.seed).output

    @property
    def output(self) -> Path:
        """Where its result is kept. That of ours has the state of the code in its name: new code, new results."""
        method = METHODS[self.method]
        ours = method.where is Where.OURS or method.after is not None
        code = f"-{source_digest()}" if ours else ""
        return self.data.parent / f"{self.method}-{self.seed}{code}{method.suffix}"

    @property
    def error(self) -> str | None:
        """Why there is no result, if it was tried and failed, or what it builds on did."""
        if self.output.exists():
            return None
        path = self.output.with_suffix(".error")
        if path.exists():
            return path.read_text().strip().splitlines()[-1]
        before = METHODS[self.method].after
        return Task(self.data, before, self.seed).error if before else None


_digest: list[str] = []


def source_digest() -> str:
    """Tell states of the package's code apart; that at the first call counts for the whole run."""
    if not _digest:
        root = Path(unbatch.__file__).parent
        code = b"".join(path.read_bytes() for path in sorted(root.rglob("*.py")))
        _digest.append(hashlib.sha256(code).hexdigest()[:8])
    return _digest[0]


def seeds_of(method: str, seeds: Sequence[int]) -> Sequence[int]:
    """Give the seeds to run a method with: the first alone where nothing is random."""
    return seeds if METHODS[method].random else seeds[:1]


def embed(tasks: Iterable[Task], pythons: Pythons) -> None:
    """Compute what is missing, each method by its own Python: ours first, a method that others build on before them."""
    lacking = [task for task in tasks if not task.output.exists()]
    first = [Task(task.data, before, task.seed) for task in lacking if (before := METHODS[task.method].after)]
    for where in Where:
        python = pythons.of(where)
        jobs = [
            {"method": task.method, "data": str(task.input), "output": str(task.output), "seed": task.seed}
            for task in dict.fromkeys([*first, *lacking])
            if METHODS[task.method].where is where and not task.output.exists()
        ]
        if python and jobs:
            _run(python, "integration.embed", jobs)


def score(pairs: Sequence[tuple[Path, Path]], python: str | None) -> list[dict[str, float] | None]:
    """Score embeddings of sets, given as (set, embedding): the metrics and their means; None where not to be had."""
    outputs = [_score_path(data, embedding) if embedding.exists() else None for data, embedding in pairs]
    jobs = {
        output: {"data": str(data), "embedding": str(embedding), "output": str(output)}
        for (data, embedding), output in zip(pairs, outputs, strict=True)
        if output is not None and not output.exists()
    }
    if jobs and python:
        _run(python, "integration.score", list(jobs.values()))
    return [_read(output) for output in outputs]


def _read(path: Path | None) -> dict[str, float] | None:
    if path is None or not path.exists():
        return None
    metrics = json.loads(path.read_text())
    return metrics | summary(metrics)


def _score_path(data: Path, embedding: Path) -> Path:
    content = np.load(embedding, mmap_mode="r").tobytes()
    folder = data.parent / "scores"
    folder.mkdir(exist_ok=True)
    return folder / f"{hashlib.sha256(content).hexdigest()[:16]}-{_SCORING}.json"


def _run(python: str, module: str, jobs: list[dict[str, object]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "jobs.json"
        path.write_text(json.dumps(jobs))
        before = os.environ.get("PYTHONPATH")
        places = [str(_BENCHMARKS), *([before] if before else [])]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(places), "PYTHONWARNINGS": "ignore"}
        subprocess.run([python, "-m", module, str(path)], check=True, env=environment, stdout=sys.stderr)
