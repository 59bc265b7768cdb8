"""Gene-by-batch effects of single-cell count matrices by counterfactual matching.

>>> import unbatch as ub
>>> adata = ub.datasets.toy()
>>> ub.tl.batch_effects(adata, batch_key="batch")
>>> ub.pp.adjust_counts(adata)
>>> ub.get.batch_effects(adata).columns.tolist()
['gene', 'batch', 'log_delta', 'se', 'effect', 'lower', 'upper', 'measured']

Names are loaded when they are first used, so that importing the package costs nothing and sets nothing up.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unbatch import datasets, get, pl, pp, tl
    from unbatch._check import InputError, InputWarning
    from unbatch.core.adjust import AdjustOptions
    from unbatch.fitted import BatchFit
    from unbatch.methods import ConceptOptions, MatchedOptions
    from unbatch.model import BatchModel
    from unbatch.report import write_report
    from unbatch.simulation import simulate, simulate_to_file

    __version__: str

__all__ = [
    "AdjustOptions",
    "BatchFit",
    "BatchModel",
    "ConceptOptions",
    "InputError",
    "InputWarning",
    "MatchedOptions",
    "__version__",
    "datasets",
    "get",
    "pl",
    "pp",
    "simulate",
    "simulate_to_file",
    "tl",
    "write_report",
]

_MODULES = ("datasets", "get", "pl", "pp", "tl")
_HOMES = {
    "AdjustOptions": "unbatch.core.adjust",
    "BatchFit": "unbatch.fitted",
    "BatchModel": "unbatch.model",
    "ConceptOptions": "unbatch.methods",
    "MatchedOptions": "unbatch.methods",
    "InputError": "unbatch._check",
    "InputWarning": "unbatch._check",
    "simulate": "unbatch.simulation",
    "simulate_to_file": "unbatch.simulation",
    "write_report": "unbatch.report",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module, a class or a function
    if name == "__version__":
        from importlib.metadata import version

        return version("unbatch")
    if name in _MODULES:
        return import_module(f"unbatch.{name}")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'unbatch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
