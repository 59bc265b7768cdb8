"""Figures: each function draws on the axes it is given, or on a new figure, and returns the axes.

`batch_effects`, `overlap`, `balance`, `embedding` and `structure` take an AnnData with a fit; the others take arrays.
"""

from unbatch.pl._batch_means import batch_means
from unbatch.pl._cells import cells, cells_by_value
from unbatch.pl._counts import counts_by_factor
from unbatch.pl._effects import effects_heatmap, strongest
from unbatch.pl._fitted import balance, batch_effects, embedding, overlap
from unbatch.pl._projection import correlation_table
from unbatch.pl._recovery import effect_against_mean, effect_recovery
from unbatch.pl._structure import structure, structure_bars
from unbatch.pl._support import balance_heatmap, support_heatmap

__all__ = [
    "balance",
    "balance_heatmap",
    "batch_effects",
    "batch_means",
    "cells",
    "cells_by_value",
    "correlation_table",
    "counts_by_factor",
    "effect_against_mean",
    "effect_recovery",
    "effects_heatmap",
    "embedding",
    "overlap",
    "strongest",
    "structure",
    "structure_bars",
    "support_heatmap",
]
