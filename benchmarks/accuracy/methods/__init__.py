"""One thin file per method: `estimate(counts, batch, n_batches)`, and `cell_type` where USES_TYPES says so."""

from importlib import import_module

from accuracy.problem import Estimate, Problem

DEFAULT = ("none", "naive", "oracle", "concept", "matched")
METHODS = (*DEFAULT, "combat_seq")


def run(name: str, problem: Problem) -> Estimate:
    """Give a method what it may see of a problem."""
    module = import_module(f"accuracy.methods.{name}")
    seen = (problem.counts, problem.batch, problem.n_batches)
    if getattr(module, "USES_TYPES", False):
        return module.estimate(*seen, problem.cell_type)
    return module.estimate(*seen)
