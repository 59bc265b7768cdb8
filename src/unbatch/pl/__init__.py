"""Figures: each function draws on the axes that it is given, or on a new figure, and returns the axes.

Nothing is shown or saved: a notebook shows a new figure by itself, a script calls ``matplotlib.pyplot.show()`` or
``ax.figure.savefig(path)``.

These take an AnnData with a fit: `batch_effects`, `trace`, `recovery`, `pseudobulk_balance`, `embedding`, `structure`;
and these one with diagnostics: `need`, `overlap`, `balance`, `mixing`, `remainder`, `strongest`. The others take arrays
or tables, for figures of one's own making.

Colours are those of Okabe and Ito and of matplotlib's viridis and RdBu, which readers with any common colour-vision
deficiency can tell apart. Lines are black on a light ground and white on a dark one. Names are shortened in the middle
and shown as they are written: ``$x$`` is no formula. Letters that the font lacks are shown as code points, ``[1F9EC]``;
for names in other scripts choose a font that has them: ``matplotlib.rcParams["font.family"] = "Noto Sans CJK SC"``.
"""

from unbatch.pl._balance import balance_summary, love_plot
from unbatch.pl._batch_means import batch_means
from unbatch.pl._cells import cells, cells_by_value
from unbatch.pl._counts import counts_by_factor
from unbatch.pl._diagnosed import balance, mixing, need, overlap, remainder, strongest
from unbatch.pl._effects import effects_heatmap, effects_volcano, strongest_genes
from unbatch.pl._embedding import embedding
from unbatch.pl._fitted import batch_effects, pseudobulk_balance, recovery, trace
from unbatch.pl._intervals import effect_intervals
from unbatch.pl._layout import tsne
from unbatch.pl._mixing import cell_overlap, neighbour_share
from unbatch.pl._need import explained_by_gene, explained_variance
from unbatch.pl._projection import correlation_table
from unbatch.pl._recovery import effect_against_mean, effect_recovery
from unbatch.pl._remainder import departures, departures_heatmap
from unbatch.pl._structure import structure, structure_bars
from unbatch.pl._support import balance_heatmap, distance_heatmap, state_heatmap, support_heatmap
from unbatch.pl._trace import iterations

__all__ = [
    "balance",
    "balance_heatmap",
    "balance_summary",
    "batch_effects",
    "batch_means",
    "cell_overlap",
    "cells",
    "cells_by_value",
    "correlation_table",
    "counts_by_factor",
    "departures",
    "departures_heatmap",
    "distance_heatmap",
    "effect_against_mean",
    "effect_intervals",
    "effect_recovery",
    "effects_heatmap",
    "effects_volcano",
    "embedding",
    "explained_by_gene",
    "explained_variance",
    "iterations",
    "love_plot",
    "mixing",
    "need",
    "neighbour_share",
    "overlap",
    "pseudobulk_balance",
    "recovery",
    "remainder",
    "state_heatmap",
    "strongest",
    "strongest_genes",
    "structure",
    "structure_bars",
    "support_heatmap",
    "trace",
    "tsne",
]
