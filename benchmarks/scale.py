"""How do time and memory grow with cells? Every command beside bare reads of the same file, in one run.

    python benchmarks/scale.py                                   # 10,000, 100,000 and 1,000,000 cells (30 GB of disk)
    python benchmarks/scale.py --cells 10000,50000 --folder FOLDER --output scale.md --plot scale.png

Files are made by `unbatch simulate` in the folder and kept there. scanpy with harmonypy runs up to `--peers-up-to`
cells, by the Python of `--peers-python`, which must have both.
"""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PARTS = Path(__file__).parent / "scale"
_STORAGE = ["uncompressed", "gzip"]


def main() -> int:
    """Run what was asked for, print the tables, write them where told."""
    options = _parse()
    from scale import tables
    from scale.accuracy import compare

    folder = options.folder or Path(tempfile.mkdtemp(prefix="unbatch-scale-"))
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for n_cells in options.cells:
        for row in _measure(folder, n_cells, options):
            rows.append(row)
            seconds = f"{row.usage.seconds:.1f} s, {row.usage.peak_bytes / 1e9:.2f} GB" if row.usage else row.note
            print(f"{row.n_cells:,} cells, {row.storage}: {row.what}: {seconds}", file=sys.stderr, flush=True)
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    command = " ".join(["python benchmarks/scale.py", *_told(sys.argv[1:])])
    parts = [f"Made by `{command}` on {machine}.", tables.measured(rows)]
    if options.sketch_cells:
        trials = [compare(options.sketch_cells, seed) for seed in options.sketch_seeds]
        parts.append(tables.sketched(trials, options.sketch_cells))
    text = "\n\n".join(parts) + "\n"
    print(text)
    if options.output:
        options.output.write_text(text)
    if options.plot:
        from scale.plot import draw

        draw(rows, options.plot)
    return 0


def _measure(folder: Path, n_cells: int, options: argparse.Namespace) -> Iterator["tables.Row"]:  # noqa: F821
    from scale import problem, tables
    from scale.measure import CommandError, run

    files = problem.make(folder, n_cells=n_cells, n_genes=options.genes, n_batches=options.batches, depth=options.depth)
    unbatch = [sys.executable, "-m", "unbatch"]
    fitted, adjusted = folder / "fit.h5ad", folder / "adjusted.h5ad"
    for storage in options.storage:
        path = files[storage]
        size = problem.non_zeros(path)
        fit = [*unbatch, "fit", str(path), "--batch-key", "batch", "--output", str(fitted), "--quiet"]
        adjust = [*unbatch, "adjust", str(path), "--model", str(fitted), "--output", str(adjusted), "--quiet"]
        floor = [sys.executable, str(_PARTS / "floor.py"), str(path)]
        commands = {
            tables.FLOOR_OF_H5PY: [*floor, "--h5py"],
            tables.FLOOR: floor,
            "fit --effects-only": [*fit, "--effects-only"],
            "fit": fit,
            "adjust": adjust,
        }
        if n_cells <= options.peers_up_to:
            commands["scanpy + harmonypy"] = [options.peers_python, str(_PARTS / "peers.py"), str(path)]
        run(commands[tables.FLOOR])  # so that the file is in the page cache for all alike, as far as it fits
        for what, command in commands.items():
            try:
                yield tables.Row(n_cells, storage, size, what, run(command))
            except CommandError as error:
                yield tables.Row(n_cells, storage, size, what, None, str(error).splitlines()[-1])
        adjusted.unlink(missing_ok=True)


def _told(arguments: list[str]) -> list[str]:
    """Leave out of the printed command where this machine keeps its files."""
    private = {"--folder": "DIR", "--output": "PAGE", "--plot": "PLOT", "--peers-python": "PYTHON"}
    return [private.get(before, argument) for before, argument in zip(["", *arguments], arguments, strict=False)]


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=_numbers, default=[10_000, 100_000, 1_000_000], help="sizes, with commas")
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--batches", type=int, default=20)
    parser.add_argument("--depth", type=float, default=1400.0, help="median counts per cell; 1400 give 1,000 non-zeros")
    parser.add_argument("--storage", nargs="+", choices=_STORAGE, default=_STORAGE, help="how the counts are stored")
    parser.add_argument("--folder", type=Path, help="where files are made and kept (a new temporary folder)")
    parser.add_argument("--peers-python", default=sys.executable, help="Python with scanpy and harmonypy")
    parser.add_argument("--peers-up-to", type=int, default=200_000, help="most cells for scanpy + harmonypy")
    parser.add_argument("--sketch-cells", type=int, default=100_000, help="cells of the accuracy table, 0 for none")
    parser.add_argument("--sketch-seeds", type=_numbers, default=[1, 2, 3])
    parser.add_argument("--output", type=Path, help="write the tables there as Markdown")
    parser.add_argument("--plot", type=Path, help="draw time and memory there")
    return parser.parse_args()


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
