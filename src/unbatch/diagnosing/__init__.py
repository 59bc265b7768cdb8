"""Whether a fit can be trusted: the functions of `core.diagnostics` applied to some of its cells, with names."""

from unbatch.diagnosing.fit import diagnose_fit

__all__ = ["diagnose_fit"]
