"""From single metrics to one number, as scIB does (Luecken et al., 2022): 0.4 batch removal + 0.6 biology."""

import math
from collections.abc import Mapping

BATCH = ("ilisi", "graph_connectivity", "bras", "kbet")
"""How well batches are mixed."""
BIO = ("silhouette_label", "nmi", "ari", "clisi", "isolated_labels")
"""How well types are kept apart."""
METRICS = (*BATCH, *BIO)

_WEIGHT_BATCH = 0.4


def summary(scores: Mapping[str, float]) -> dict[str, float]:
    """Give the means `batch` and `bio`, over the metrics that are numbers, and `total` = 0.4 batch + 0.6 bio."""
    batch, bio = _mean(scores, BATCH), _mean(scores, BIO)
    return {"batch": batch, "bio": bio, "total": _WEIGHT_BATCH * batch + (1 - _WEIGHT_BATCH) * bio}


def _mean(scores: Mapping[str, float], names: tuple[str, ...]) -> float:
    numbers = [scores[name] for name in names if not math.isnan(scores[name])]
    return sum(numbers) / len(numbers) if numbers else math.nan
