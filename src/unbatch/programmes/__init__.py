"""Gene programmes of fitted data: found in pseudobulks, then measured in every cell."""

from unbatch.programmes.fitting import FactorOptions, fit_factors
from unbatch.programmes.result import FactorFit

__all__ = ["FactorFit", "FactorOptions", "fit_factors"]
