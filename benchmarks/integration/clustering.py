"""How well k-means finds the labels, without the luck of a single start."""

import numpy as np
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

_SEEDS = range(5)
_STARTS = 10


def nmi_ari(values: np.ndarray, label: np.ndarray) -> tuple[float, float]:
    """Give NMI and ARI of labels and as many k-means clusters: best of ten starts, mean over five such searches."""
    found = []
    for seed in _SEEDS:
        cluster = KMeans(len(np.unique(label)), n_init=_STARTS, random_state=seed).fit_predict(values)
        found.append((normalized_mutual_info_score(label, cluster), adjusted_rand_score(label, cluster)))
    nmi, ari = np.mean(found, axis=0)
    return float(nmi), float(ari)
