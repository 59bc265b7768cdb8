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

from integration.methods import METHODS, SCORED


def main() -> int:
    """Run what was asked for, print the tables, write them where told."""
    options = _parse()
    from integration import problems, tables
    from integration.compare import compare
    from integration.work import Pythons

    sets = problems.prepare(options.cache, options.data, options.sets)
    unknown = set(options.sets or []) - {problem.name for problem in sets}
    if unknown:
        print(f"no labelled set {sorted(unknown)} in the folder, or it has the cells of cell_lines", file=sys.stderr)
        return 2
    pythons = Pythons(peers=options.peers_python, scvi=options.scvi_python)
    added = [(Path(path), name) for path, name in options.embedding]
    scores = compare(sets, options.methods, options.seeds, pythons=pythons, added=added)
    text = tables.page(scores)
    print(text)
    if options.csv:
        scores.to_csv(options.csv, index=False)
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of .h5ad files with raw counts and labels")
    parser.add_argument("--sets", nargs="+", metavar="SET", help="names of files without .h5ad, or cell_lines; all")
    parser.add_argument("--methods", nargs="+", choices=SCORED, default=list(SCORED), metavar="METHOD", help=_known())
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="for methods that draw numbers (0 1 2)")
    parser.add_argument("--peers-python", help="Python with scanpy, harmonypy, scanorama and scib-metrics")
    parser.add_argument("--scvi-python", help="Python with scvi-tools and scanpy")
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "unbatch-integration")
    parser.add_argument("--embedding", nargs=2, action="append", default=[], metavar=("FILE.npz", "NAME"))
    parser.add_argument("--csv", type=Path, help="write every score there: a row per set, method and seed")
    return parser.parse_args()


def _known() -> str:
    return "; ".join(f"{name}: {METHODS[name].title}" for name in SCORED)


if __name__ == "__main__":
    sys.exit(main())
