"""How accurate are the methods? Problems with known batch effects, scores against the truth.

    python benchmarks/accuracy.py                                   # all simulated scenarios, 5 seeds
    python benchmarks/accuracy.py --scenarios moderate null --seeds 1-3 --methods naive concept
    python benchmarks/accuracy.py --data FOLDER --scenarios thinned: --output accuracy.md --csv accuracy.csv

The methods none, naive and oracle are always run: they are the bounds that the others are read against. With `--data`,
every .h5ad file of a folder with `obs["batch"]` and `obs["cell_type"]` gives problems of real counts.
"""

import argparse
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

_BOUNDS = ("none", "naive", "oracle")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def main() -> int:
    """Run what was asked for, print the tables, write them where told."""
    options = _parse()
    if options.jobs > 1:
        os.environ.update(dict.fromkeys(_THREADS, "1"))
    import pandas as pd

    from accuracy import tables
    from accuracy.methods import DEFAULT, METHODS
    from accuracy.run import run_problem
    from accuracy.scenarios import list_scenarios

    known = list_scenarios(options.data)
    if options.list:
        print(*known, sep="\n")
        return 0
    scenarios = [name for name in known if _chosen(name, options.scenarios)]
    names = tuple(dict.fromkeys((*_BOUNDS, *(options.methods or DEFAULT))))
    unknown = sorted(set(names) - set(METHODS))
    if unknown or not scenarios:
        print(f"no such method: {unknown}" if unknown else f"no such scenario: {options.scenarios}", file=sys.stderr)
        print("methods:", *METHODS, "\nscenarios:", *known, file=sys.stderr)
        return 2
    problems = [(scenario, seed) for scenario in scenarios for seed in options.seeds]
    rows = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, mp_context=context) as pool:
        futures = {pool.submit(run_problem, *problem, names, options.data): problem for problem in problems}
        for done, future in enumerate(as_completed(futures), 1):
            rows += future.result()
            print(f"[{done}/{len(futures)}]", *futures[future], file=sys.stderr, flush=True)
    table = pd.DataFrame(rows)
    order = {problem: i for i, problem in enumerate(problems)}
    table = table.iloc[table[["scenario", "seed"]].apply(lambda row: order[tuple(row)], axis=1).argsort(kind="stable")]
    failed = table[table["error"].notna()] if "error" in table else table.iloc[:0]
    for row in failed.itertuples():
        print(f"{row.method} failed on {row.scenario}, seed {row.seed}:\n{row.error}", file=sys.stderr)
    scored = table.drop(index=failed.index, columns="error", errors="ignore").reset_index(drop=True)
    text = tables.markdown(scored, "python benchmarks/accuracy.py " + " ".join(sys.argv[1:]))
    print(text)
    if options.output:
        options.output.write_text(text)
    if options.csv:
        tables.complete(scored).to_csv(options.csv, index=False)
    return 1 if len(failed) else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--scenarios", nargs="+", help="names, or beginnings of names that end in ':'; all if not given"
    )
    parser.add_argument("--methods", nargs="+", help="see accuracy/methods; combat_seq is slow and only run by name")
    parser.add_argument("--seeds", type=_seeds, default=[1, 2, 3, 4, 5], help="such as 1-5 or 1,7 (1-5)")
    parser.add_argument("--data", type=Path, help="folder of labelled .h5ad files")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="problems at a time (number of cores)")
    parser.add_argument("--output", type=Path, help="write the tables there as Markdown")
    parser.add_argument("--csv", type=Path, help="write all scores there, one row per problem, method and gene class")
    parser.add_argument("--list", action="store_true", help="list the scenarios and stop")
    return parser.parse_args()


def _seeds(text: str) -> list[int]:
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        seeds += range(int(first), int(last or first) + 1)
    return seeds


def _chosen(name: str, wanted: list[str] | None) -> bool:
    return wanted is None or any(name == w or (w.endswith(":") and name.startswith(w)) for w in wanted)


if __name__ == "__main__":
    sys.exit(main())
