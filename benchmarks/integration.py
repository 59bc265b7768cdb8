"""How good is the embedding for what users do with it? Ours beside the peers', scored by scib-metrics.

    python benchmarks/integration.py --peers-python PYTHON                       # the shipped set
    python benchmarks/integration.py --peers-python PYTHON --data DIR            # and every labelled .h5ad of a folder
    python benchmarks/integration.py --peers-python PYTHON --data DIR --scvi-python PYTHON

PYTHON has scanpy, harmonypy, scanorama and scib-metrics; that of scVI has scvi-tools and scanpy. Our methods run in the
Python that runs this. Results are kept in `--cache`, one file for each set, method and seed, so a run can be broken off
and continued; what ours gave is computed anew when a file of the package changes. scVI runs last: it takes longest.

Any other embedding is judged by the same ruler with `--embedding FILE.npz NAME` (as often as wanted): an array, cells x
dimensions with the cells in the order of the file, under the name of each set that it is for. To see quickly what a
candidate is worth:

    python benchmarks/integration.py --peers-python PYTHON --data DIR --sets mesc_scmerge_2batches cell_lines \
        --methods pca harmony unbatch --seeds 0 --embedding candidate.npz candidate
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from integration.methods import BASELINE, METHODS, PEERS, SCORED, Where

if TYPE_CHECKING:
    import pandas as pd

    from integration.problems import Problem
    from integration.work import Pythons


def main() -> int:
    """Run what was asked for, print the tables, write them where told."""
    options = _parse()
    from integration import problems, tables
    from integration.compare import compare
    from integration.work import Pythons

    known = problems.prepare(options.cache, options.data, options.sets)
    unknown = set(options.sets or []) - {problem.name for problem in known}
    if unknown:
        print(f"no labelled set {sorted(unknown)} in the folder, or it has the cells of cell_lines", file=sys.stderr)
        return 2
    pythons = Pythons(peers=options.peers_python, scvi=options.scvi_python)
    added = [(Path(path), name) for path, name in options.embedding]
    scores = compare(known, options.methods, options.seeds, pythons=pythons, added=added)
    text = _scores(scores, known)
    if options.probes:
        text += _probes(known, pythons, options)
    print(text)
    if options.output:
        tables.put(text, options.output)
    if options.csv:
        scores.to_csv(options.csv, index=False)
    return 0


def _scores(scores: "pd.DataFrame", known: "list[Problem]") -> str:
    from integration import goals, tables

    command = " ".join(["python benchmarks/integration.py", *_told(sys.argv[1:])])
    parts = [f"Made by `{command}`.", tables.sets(known), tables.scores(scores)]
    judged = [method for method in scores["method"].unique() if method not in (BASELINE, *PEERS)]
    for method in judged:
        found = goals.of_scores(scores, method)
        if found:
            parts.append(f"{tables.title(method)}:\n\n{tables.reached(found)}")
    parts += ["Every metric, mean over seeds:", tables.metrics(scores)]
    return "\n\n".join(parts) + "\n"


def _probes(known: "list[Problem]", pythons: "Pythons", options: argparse.Namespace) -> str:
    from integration import goals, probing, tables

    wanted = options.sets or probing.PROBED
    small = [problem for problem in known if problem.name in wanted]
    methods = [method for method in options.methods if METHODS[method].where is not Where.SCVI]
    splits, covered = probing.split_batches(small, methods, options.seeds, pythons=pythons)
    removed = probing.remove_types(small, methods, options.seeds, pythons=pythons)
    parts = ["", "## One batch split at random in two", tables.split(splits), tables.covered(covered)]
    parts += ["## A cell type removed from one batch", tables.removed(removed), "## Probes passed"]
    for method in methods:
        own = covered if method == "unbatch" else covered.iloc[:0]
        found = [*goals.of_splits(splits, own, method), *goals.of_removals(removed, method)]
        parts.append(f"{tables.title(method)}:\n\n{tables.reached(found)}")
    return "\n\n".join(parts) + "\n"


def _told(arguments: list[str]) -> list[str]:
    """Leave out of the printed command where this machine keeps its files."""
    private = {"--data": "DIR", "--cache": "DIR", "--output": "PAGE", "--csv": "CSV"}
    private |= {"--peers-python": "PYTHON", "--scvi-python": "PYTHON"}
    return [private.get(before, argument) for before, argument in zip(["", *arguments], arguments, strict=False)]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of .h5ad files with raw counts and labels")
    parser.add_argument("--sets", nargs="+", metavar="SET", help="names of files without .h5ad, or cell_lines; all")
    parser.add_argument("--methods", nargs="+", choices=SCORED, default=list(SCORED), metavar="METHOD", help=_known())
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="for methods that draw numbers (0 1 2)")
    parser.add_argument("--probes", action="store_true", help="also look for over-correction; not of scVI")
    parser.add_argument("--peers-python", help="Python with scanpy, harmonypy, scanorama and scib-metrics")
    parser.add_argument("--scvi-python", help="Python with scvi-tools and scanpy")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "unbatch-integration")
    parser.add_argument("--embedding", nargs=2, action="append", default=[], metavar=("FILE.npz", "NAME"))
    parser.add_argument("--csv", type=Path, help="write every score there: a row per set, method and seed")
    parser.add_argument("--output", type=Path, help="write the tables into that page of Markdown, between its marks")
    return parser.parse_args()


def _known() -> str:
    return "; ".join(f"{name}: {METHODS[name].title}" for name in SCORED)


if __name__ == "__main__":
    sys.exit(main())
