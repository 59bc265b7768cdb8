"""Run methods on a problem and keep their scores as rows."""

import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any

from accuracy import methods
from accuracy.scenarios import load_scenario
from accuracy.scores import score

Row = dict[str, Any]


def run_problem(scenario: str, seed: int, names: tuple[str, ...], data: Path | None) -> list[Row]:
    """Score each method on one problem: a row per method and class of genes; a method that fails says why."""
    problem = load_scenario(scenario, seed, data=data)
    rows: list[Row] = []
    for name in names:
        start = time.perf_counter()
        try:
            estimate = methods.run(name, problem)
        except Exception:  # noqa: BLE001 - one failure must not lose hours of other results
            rows.append({"scenario": scenario, "seed": seed, "method": name, "error": traceback.format_exc()})
            continue
        seconds = time.perf_counter() - start
        about = {"scenario": scenario, "seed": seed, "method": name, "seconds": seconds}
        rows += [about | {"genes": genes} | asdict(found) for genes, found in score(problem, estimate).items()]
    return rows
