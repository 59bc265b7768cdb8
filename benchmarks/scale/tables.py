"""The page of the scale benchmark: what was measured, as ratios to bare reads of the same file."""

from collections.abc import Sequence
from dataclasses import dataclass

from scale.accuracy import Trial
from scale.measure import Usage

FLOOR, FLOOR_OF_H5PY = "bare read", "bare read by h5py"
_GIGA = 1e9


@dataclass(frozen=True)
class Row:
    """One command on one file. Usage is None where it failed, for the reason in the note."""

    n_cells: int
    storage: str
    non_zeros: int
    what: str
    usage: Usage | None
    note: str = ""


def measured(rows: Sequence[Row]) -> str:
    """Write the table of time and memory."""
    lines = [
        "| cells | stored | what | wall (s) | processor (s) | x bare read | x h5py | µs per cell | peak memory (GB) |",
        "|--:|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        start = f"| {row.n_cells:,} | {row.storage} | {row.what} |"
        if row.usage is None:
            lines.append(f"{start} {row.note} | | | | | |")
            continue
        floors = (_floor(rows, row, what) for what in (FLOOR, FLOOR_OF_H5PY))
        times = " | ".join(f"{row.usage.seconds / floor.seconds:.2f}" if floor else "" for floor in floors)
        lines.append(
            f"{start} {row.usage.seconds:.1f} | {row.usage.cpu_seconds:.1f} | {times} "
            f"| {row.usage.seconds / row.n_cells * 1e6:.0f} | {row.usage.peak_bytes / _GIGA:.2f} |"
        )
    return "\n".join(lines)


def _floor(rows: Sequence[Row], row: Row, what: str) -> Usage | None:
    same = [r for r in rows if (r.n_cells, r.storage, r.what) == (row.n_cells, row.storage, what)]
    return same[0].usage if same else None


def sketched(trials: Sequence[Trial], n_cells: int) -> str:
    """Write the table of accuracy from the sketch and from all cells."""
    lines = [
        f"| seed | RMSE from the sketch | RMSE from all {n_cells:,} cells | ratio | seconds, sketch | seconds, all |",
        "|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {trial.seed} | {trial.sketch_rmse:.4f} | {trial.all_rmse:.4f} | {trial.sketch_rmse / trial.all_rmse:.3f} "
        f"| {trial.sketch_seconds:.1f} | {trial.all_seconds:.1f} |"
        for trial in trials
    ]
    return "\n".join(lines)
