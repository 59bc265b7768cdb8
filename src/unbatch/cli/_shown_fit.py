"""What ``unbatch inspect`` shows of a fit."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unbatch.cli._console import AnyInputs, say, thousands

if TYPE_CHECKING:
    from unbatch.fitted import BatchFit

_GIGA = 1e9


def read_fit(inputs: AnyInputs) -> "BatchFit | None":
    """Give the fit, if the input is a file that holds one and no counts."""
    import h5py

    from unbatch.io.failures import reading
    from unbatch.model import BatchModel
    from unbatch.slots import RECORD

    if len(inputs) != 1 or not Path(inputs[0]).is_file() or not h5py.is_hdf5(inputs[0]):
        return None
    with reading(str(inputs[0])), h5py.File(inputs[0], "r") as file:
        if "X" in file or RECORD not in file.get("uns", ()):
            return None
    return BatchModel.load(inputs[0]).result


def describe_fit(fit: "BatchFit", path: Path) -> None:
    """Print what a fit took and found."""
    n_cells = len(fit.obs)
    say(f"{path}: batch effects by method {fit.method}, unbatch {fit.versions.get('unbatch', '?')}")
    say(f"  {thousands(n_cells)} cells x {thousands(len(fit.var))} genes in {len(fit.batches)} batches")
    say(f"  stopped after {len(next(iter(fit.trace.values()), ()))} rounds: {fit.stop_reason}")
    unknown = int((~fit.estimated).sum())
    say(f"  {thousands(fit.se.size - unknown)} effects estimated, {thousands(unknown)} not known")
    say(f"  relative to the {fit.expressed_in}")
    say(f"  batches by {_all(fit.batch_key) or 'file or label'}, counts of {'X' if fit.layer is None else fit.layer}")
    if fit.match_within:
        say(f"  cells compared within levels of {_all(fit.match_within)} only")
    if fit.control_genes:
        say(f"  {thousands(len(fit.control_genes))} control genes")
    if fit.state_effects is not None:
        say("  with effects of states")
    if fit.overlap is not None:
        say(f"  cells have counterparts in {fit.overlap.mean():.0%} of the other batches on average")
    say("Time:")
    taken = {**fit.timings, "in all": sum(fit.timings.values())}
    width = max(map(len, taken))
    for name, seconds in taken.items():
        say(f"  {name:<{width}} {seconds:>9.1f} s  {thousands(n_cells / max(seconds, 1e-9)):>14} cells/s")
    if math.isfinite(fit.peak_bytes):
        say(f"Memory: {fit.peak_bytes / _GIGA:.2f} GB at most")
    options = ", ".join(f"{name} {value}" for name, value in fit.parameters.items())
    say(f"Options: {options}")
    say("Versions: " + ", ".join(f"{name} {number}" for name, number in fit.versions.items()))


def _all(columns: Sequence[str]) -> str:
    return " and ".join(map(repr, columns))
