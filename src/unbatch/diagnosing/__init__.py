"""Whether a fit can be trusted: the functions of `core.diagnostics` applied to some of its cells, with names."""

from unbatch.diagnosing.again import diagnose_source
from unbatch.diagnosing.fit import diagnose_fit

__all__ = ["diagnose_fit", "diagnose_source"]
