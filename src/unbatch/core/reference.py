"""A finished fit as new cells see it."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from unbatch._types import BoolArray, FloatArray
from unbatch.core.composition import NO_COMPOSITION, CompositionChoice
from unbatch.core.embedding import Embedding
from unbatch.core.landmarks import Landmarks
from unbatch.core.rates import Rates


@dataclass(frozen=True, eq=False, kw_only=True)
class Reference:
    """A finished fit as new cells see it; genes are those of the new cells.

    Attributes
    ----------
    landmarks
        Its states, and how cells are placed. Only what is not by gene is used here.
    rates
        Its rates and effects, on the footing of its output.
    gene_shift
        (n_genes,) log effect, on the footing of the coordinates, of what counts as none in the output.
    expression
        (n_genes,) counts in the cells of the fit.
    genes
        Genes that make up the size factor, (n_genes,).
    embedding
        What puts its cells into the embedding.
    choice
        Its correction for graded states.
    """

    landmarks: Landmarks
    rates: Rates
    gene_shift: FloatArray
    expression: FloatArray
    genes: BoolArray
    embedding: Embedding
    choice: CompositionChoice = NO_COMPOSITION

    def of_group(self, group: int) -> Self:
        """Let go of the effects of batches of other groups: a new batch is not compared with them."""
        mine = self.landmarks.group == group
        rates = self.rates
        apart = replace(rates, log_delta=np.where(mine, rates.log_delta, 0.0), se=np.where(mine, rates.se, np.inf))
        return replace(self, rates=apart)
