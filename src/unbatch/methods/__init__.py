"""The estimators: each is one function of counts, batches and its own options, chosen by name from one table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

from unbatch._check import InputError
from unbatch.methods import concept, matched
from unbatch.methods.concept import ConceptOptions
from unbatch.methods.matched_options import MatchedOptions
from unbatch.methods.result import MethodResult

__all__ = [
    "DEFAULT_METHOD",
    "METHODS",
    "ConceptOptions",
    "MatchedOptions",
    "Method",
    "MethodOptions",
    "MethodResult",
    "check_design",
    "find_method",
    "options_for",
]

MethodOptions: TypeAlias = MatchedOptions | ConceptOptions
"""Options of any method: the type names the method."""


@dataclass(frozen=True)
class Method:
    """An estimator: its name, its options and its function."""

    name: str
    options: type[MatchedOptions] | type[ConceptOptions]
    fit: Callable[..., MethodResult]
    """``fit(source, batches, options, *, seed, progress, driver=None)``; one that takes a design also ``within=None``,
    the level of each cell inside which it is matched, (n_cells,) int32, and ``control_genes=None``, (n_genes,) bool."""
    takes_design: bool = True
    """Whether `fit` takes ``within``, ``control_genes`` and ``effects_only``."""
    centred_se: bool = True
    """Whether the standard errors that `fit` gives are of log delta less its mean over the batches that know the gene;
    else they are of log delta as it is, with independent errors."""


METHODS = (
    Method("matched", MatchedOptions, matched.fit),
    Method("concept", ConceptOptions, concept.fit, takes_design=False, centred_se=False),
)

DEFAULT_METHOD = "matched"
"""Name of the method that is used where none is asked for."""


def find_method(options: MethodOptions) -> Method:
    """Give the method that takes these options.

    Raises
    ------
    InputError
        If `options` are no options of any method.
    """
    for method in METHODS:
        if isinstance(options, method.options):
            return method
    valid = ", ".join(f"unbatch.{method.options.__name__}(...) or {method.name!r}" for method in METHODS)
    raise InputError(f"{options!r} is no method: give {valid}")


def check_design(method: Method, *, asked: Sequence[str]) -> None:
    """Refuse what a method does not know.

    Parameters
    ----------
    method
        The method.
    asked
        Names of the design options that the user gave (``match_within``, ``control_genes``, ``effects_only``).

    Raises
    ------
    InputError
        If there are any and `method` takes none.
    """
    if method.takes_design or not asked:
        return
    able = " or ".join(f"method {other.name!r}" for other in METHODS if other.takes_design) or "no method as yet"
    raise InputError(
        f"method {method.name!r} knows no {' or '.join(asked)} (only {able} does): "
        f"leave {'it' if len(asked) == 1 else 'them'} out or choose another method"
    )


def options_for(name: str, chosen: Mapping[str, Any] | None = None) -> MethodOptions:
    """Make the options of the method called `name`: its defaults, but for those in `chosen`.

    Raises
    ------
    InputError
        If there is no such method, it has no such option, or an option is out of range.
    """
    named = {method.name: method for method in METHODS}
    if name not in named:
        raise InputError(f"there is no method {name!r}: choose {' or '.join(repr(known) for known in named)}")
    method = named[name]
    valid = [field.name for field in fields(method.options)]
    wrong = [option for option in chosen or {} if option not in valid]
    if wrong:
        raise InputError(f"method {name!r} has no option {wrong[0]!r}: its options are {', '.join(valid)}")
    return method.options(**(chosen or {}))


OF_EVERY_METHOD = ("min_cells", "seed")
"""Parameters of a fit that are no options of its method."""


def own_options(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Give those parameters of a fit that are options of its method."""
    return {name: value for name, value in parameters.items() if name not in OF_EVERY_METHOD}
