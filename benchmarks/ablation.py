"""What does each part of the default method contribute? The method with one part taken out, on known effects.

    python benchmarks/ablation.py                                         # thirteen scenarios, 3 seeds
    python benchmarks/ablation.py --scenarios moderate null --seeds 1-5 --variants full flat-prior

Parts are taken out by putting something else in the place of a function or constant of the package while one fit runs;
the package itself has no switches for it. Scores are those of `benchmarks/accuracy.py`.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
from scipy.spatial.distance import cdist

from unbatch.core import composition, linking, log_counts, loglinear, matched, prior, rounds, states
from unbatch.core.linked_shifts import LinkedPseudobulks

if TYPE_CHECKING:
    from accuracy.problem import Estimate, Problem

_SCENARIOS = (
    "moderate",
    "extreme",
    "few-types",
    "toy-confounded",
    "graded-unequal-depth",
    "unequal-depth",
    "null",
    "unshared-batch",
    "thinned:cell_lines:10x",
    "few-affected",
    "few-affected:cell_lines:10x",
    "state-specific",
    "alike-batches",
)
_BOUNDS = ("none", "naive", "oracle", "concept")
_CLASSES = (">200", "50-200")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
_FLAT_SD = 3.0


@dataclass(frozen=True)
class Variant:
    """The method with a part replaced: what it is called in the table, (module, name, replacement), and settings."""

    title: str
    parts: tuple[tuple[object, str, object], ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    first_effects_only: bool = False

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the replacements in place, and what was there back afterwards."""
        with ExitStack() as stack:
            for target, name, replacement in self.parts:
                stack.enter_context(patch.object(target, name, replacement))
            yield


# What takes the place of a function has its signature, whatever it uses of it.


def _no_links(self: Any, where: np.ndarray, size: np.ndarray, basis: np.ndarray) -> tuple[np.ndarray, Any]:
    """Start from no effects, and without links to draw cells by."""
    alone = LinkedPseudobulks(self.batch, np.arange(self.n_batches), np.zeros(self.n_batches), np.zeros((0, 2), int))
    return np.zeros((self.counts.shape[1], self.n_batches)), alone


def _nearest(where: np.ndarray, batch: np.ndarray, level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Link each pseudobulk to its nearest in each other batch, whether or not the other has it for its nearest."""
    reach = linking._own_reach(where, batch)
    found, far = [np.zeros((0, 2), dtype=np.int64)], [np.zeros(0)]
    for k in np.unique(batch):
        for other in np.setdiff1d(np.unique(batch), k):
            mine, theirs = np.flatnonzero(batch == k), np.flatnonzero(batch == other)
            distance = np.where(level[mine][:, None] == level[theirs], cdist(where[mine], where[theirs]), np.inf)
            nearest = theirs[distance.argmin(axis=1)]
            keep = np.isfinite(distance.min(axis=1))
            found.append(np.column_stack([mine, nearest])[keep])
            far.append((distance.min(axis=1) / np.maximum(reach[mine], reach[nearest]))[keep])
    return np.concatenate(found), np.concatenate(far)


def _single_cells(
    where: np.ndarray,
    *,
    batch: np.ndarray,
    level: np.ndarray,
    keys: np.ndarray,
    seed: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Make each cell its own pseudobulk."""
    return np.arange(len(batch), dtype=np.int32), np.arange(len(batch))


def _median_depth(size: np.ndarray, batch: np.ndarray) -> float:
    """Normalise to the overall median depth."""
    return float(np.median(size))


def _flat(log_delta: np.ndarray, *_: np.ndarray) -> np.ndarray:
    """Learn no prior."""
    return np.full(log_delta.shape[1], _FLAT_SD)


def _independent(curvature: np.ndarray, pull: np.ndarray) -> np.ndarray:
    """Take batches for independent."""
    return np.eye(pull.shape[1])


def _no_choice(*_args: object, **_options: object) -> object:
    """Correct nothing within states."""
    return composition.NO_COMPOSITION


def _never(*_args: object) -> bool:
    """Draw nothing together."""
    return False


def _always(*_args: object) -> bool:
    """Draw cells together whether they have counterparts or not."""
    return True


def _total_basis(basis: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    def of_all(logs: Any, *, batch: np.ndarray, **options: Any) -> np.ndarray:
        """Take the principal axes of all cells together, the differences between batches included."""
        return basis(logs, batch=np.zeros_like(batch), **options)

    return of_all


_ONE_WIDTH = ((prior, "_LADDER", np.ones(1)),)
_MEDIAN_SCALE = ((log_counts, "common_scale", _median_depth),)

VARIANTS = {
    "full": Variant("full"),
    "links-only": Variant("first effects from links alone, no states", first_effects_only=True),
    "no-first-links": Variant(
        "no first links: rounds start from no effects",
        ((rounds.Rounds, "first_effects", _no_links),),
    ),
    "not-mutual": Variant("links to the nearest, not mutual", ((linking, "_mutual", _nearest),)),
    "no-link-calipers": Variant("no calipers on links", ((linking, "_CALIPERS", (np.inf, np.inf, np.inf)),)),
    "means-anywhere": Variant(
        "links from the means of batches wherever they are more", ((linking, "_BEYOND", np.inf),)
    ),
    "single-cells": Variant("links between single cells", ((rounds, "batch_pseudobulks", _single_cells),)),
    "total-axes": Variant(
        "axes of all cells, not within batches", ((matched, "state_basis", _total_basis(states.state_basis)),)
    ),
    "median-scale": Variant("normalised to the overall median depth", _MEDIAN_SCALE),
    "one-round": Variant("one round", settings={"max_rounds": 1}),
    "no-state-caliper": Variant("no caliper within states", settings={"caliper": np.inf}),
    "state-caliper-3": Variant("caliper 3 within states", settings={"caliper": 3.0}),
    "never-drawn": Variant("cells never drawn together", ((rounds.Rounds, "_better_together", _never),)),
    "always-drawn": Variant("cells always drawn together", ((rounds.Rounds, "_better_together", _always),)),
    "drawn-unseen": Variant("cells drawn together whatever states show", ((rounds, "SHOWN", -np.inf),)),
    "no-mixture": Variant("effects by states of cells alone, never by a mixture", ((matched, "FEW_GENES", -1.0),)),
    "one-partition": Variant("one partition into states at the end", ((matched, "_PARTITIONS", 1),)),
    "flat-prior": Variant(
        f"prior not learned: sd {_FLAT_SD:g}",
        ((loglinear, "_prior_sd", _flat), (loglinear, "_START_SD", _FLAT_SD), *_ONE_WIDTH),
    ),
    "one-width": Variant("one width for all effects of a batch", _ONE_WIDTH),
    "independent": Variant(
        "effects of batches taken for independent", ((loglinear, "find_correlation", _independent),)
    ),
    "no-composition": Variant("no correction of graded states", ((rounds, "choose_composition", _no_choice),)),
    "composition-anywhere": Variant(
        "graded states corrected whatever the direction", ((composition, "_LEAST_ALIGNED", -np.inf),)
    ),
}


def estimate(problem: "Problem", variant: Variant) -> "Estimate":
    """Fit a problem with a variant of the method."""
    from accuracy.problem import Estimate

    cells = np.flatnonzero(np.diff(problem.counts.indptr) > 0)
    kept: list[np.ndarray] = []
    with variant.applied(), ExitStack() as stack:
        if variant.first_effects_only:
            first = rounds.Rounds.first_effects

            def keep(self: Any, *args: np.ndarray) -> tuple[np.ndarray, Any]:
                log_delta, linked = first(self, *args)
                kept.append(log_delta)
                return log_delta, linked

            stack.enter_context(patch.object(rounds.Rounds, "first_effects", keep))
        fitted = matched.fit_matched(
            problem.counts[cells],
            problem.batch[cells],
            measured=np.ones((problem.counts.shape[1], problem.n_batches), dtype=bool),
            settings=rounds.Settings(**({"max_rounds": 1} if variant.first_effects_only else variant.settings)),
        )
    return Estimate(kept[0]) if kept else Estimate(fitted.effects.log_delta, fitted.effects.se)


def run_problem(scenario: str, seed: int, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Score the variants and the bounds on one problem."""
    from accuracy import methods
    from accuracy.scenarios import load_scenario
    from accuracy.scores import score

    problem = load_scenario(scenario, seed)
    rows = []
    for name in (*_BOUNDS, *names):
        start = time.perf_counter()
        found = estimate(problem, VARIANTS[name]) if name in VARIANTS else methods.run(name, problem)
        seconds = time.perf_counter() - start
        scores = score(problem, found)
        rows += [
            {"scenario": scenario, "seed": seed, "variant": name, "genes": genes, "seconds": seconds}
            | {
                "rmse": scores[genes].rmse,
                "coverage": scores[genes].coverage,
                "unidentifiable": scores[genes].unidentifiable_rms,
            }
            for genes in _CLASSES
        ]
    return rows


def markdown(rows: list[dict[str, Any]], command: str) -> str:
    """Write a table of RMSE per class of genes: variants by scenarios, medians over seeds."""
    scenarios, names = (list(dict.fromkeys(row[key] for row in rows)) for key in ("scenario", "variant"))
    seeds = ", ".join(map(str, sorted({row["seed"] for row in rows})))
    parts = [f"Made by `{command}`. Medians over the seeds {seeds}."]
    for genes in _CLASSES:
        parts += [f"## RMSE of centred log delta, genes with {genes} counts", _table(rows, genes, scenarios, names)]
    loud = _CLASSES[0]
    tables = {
        f"Share of 95% intervals that cover, genes with {loud} counts": ("coverage", scenarios),
        f"RMS of log delta of batches that share nothing, genes with {loud} counts": (
            "unidentifiable",
            [name for name in scenarios if any(row["scenario"] == name and _known(row) for row in rows)],
        ),
    }
    for title, (score, columns) in tables.items():
        if columns:
            parts += [f"## {title}", _table(rows, loud, columns, names, score=score)]
    return "\n\n".join(parts) + "\n"


def _known(row: dict[str, Any]) -> bool:
    return bool(np.isfinite(row["unidentifiable"]))


def _table(
    rows: list[dict[str, Any]], genes: str, scenarios: list[str], names: list[str], *, score: str = "rmse"
) -> str:
    lines = [["", *scenarios], ["---", *["--:"] * len(scenarios)]]
    for name in names:
        title = VARIANTS[name].title if name in VARIANTS else f"*{name}*"
        cells = []
        for scenario in scenarios:
            own = [
                row[score]
                for row in rows
                if (row["scenario"], row["variant"], row["genes"]) == (scenario, name, genes)
                and np.isfinite(row[score])
            ]
            cells.append(f"{np.median(own):.3f}" if own else "")
        lines.append([title, *cells])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> int:
    """Run what was asked for, print the tables, write them where told."""
    options = _parse()
    if options.jobs > 1:
        os.environ.update(dict.fromkeys(_THREADS, "1"))
    unknown = sorted(set(options.variants) - set(VARIANTS))
    if unknown:
        print(f"no such variant: {unknown}; there are", *VARIANTS, file=sys.stderr)
        return 2
    problems = [(scenario, seed) for scenario in options.scenarios for seed in options.seeds]
    found = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
        futures = {pool.submit(run_problem, *problem, tuple(options.variants)): problem for problem in problems}
        for done, future in enumerate(as_completed(futures), 1):
            found[futures[future]] = future.result()
            print(f"[{done}/{len(futures)}]", *futures[future], file=sys.stderr, flush=True)
    rows = [row for problem in problems for row in found[problem]]
    text = markdown(rows, " ".join(["python benchmarks/ablation.py", *sys.argv[1:]]))
    print(text)
    if options.output:
        options.output.write_text(text)
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenarios", nargs="+", default=list(_SCENARIOS), help="see benchmarks/accuracy.py --list")
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), help=", ".join(VARIANTS))
    parser.add_argument("--seeds", type=_seeds, default=[1, 2, 3], help="such as 1-5 or 1,7 (1-3)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="problems at a time (number of cores)")
    parser.add_argument("--output", type=Path, help="write the tables there as Markdown")
    return parser.parse_args()


def _seeds(text: str) -> list[int]:
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        seeds += range(int(first), int(last or first) + 1)
    return seeds


if __name__ == "__main__":
    sys.exit(main())
