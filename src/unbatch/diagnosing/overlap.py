"""Tables of overlap and mixing: do batches share states, and are they mixed in the embedding."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unbatch._types import Float32Array, FloatArray
from unbatch.core.diagnostics.matches import Matches, expected_same, find_matches, share_elsewhere
from unbatch.diagnosing.judged import Judged


def overlap_tables(whole: Judged, before: Float32Array, arrays: dict[str, NDArray[Any]]) -> dict[str, pd.DataFrame]:
    """Tables "overlap_states", "overlap_pairs" and "mixing", from coordinates without correction too.

    Puts "state_batch" and "overlap_cells" among the arrays. The last two tables need an embedding.
    """
    tables = _states(whole, arrays)
    if whole.after is not None:
        matches = find_matches(whole.after, whole.sample.batch, n_batches=whole.sample.n_batches)
        tables |= _pairs(whole, matches, arrays) | _mixing(whole, before, matches)
    return tables


def _states(whole: Judged, arrays: dict[str, NDArray[Any]]) -> dict[str, pd.DataFrame]:
    cells, taking = whole.cells, whole.support.sum(axis=1)
    size = cells.sum(axis=1)
    share = cells / np.maximum(size, 1.0)[:, None]
    arrays["state_batch"] = share
    alone = np.where((taking < 2) & (size > 0), whole.names[cells.argmax(axis=1)], "")  # noqa: PLR2004
    table = pd.DataFrame(
        {
            "state": np.arange(len(cells)),
            "n_cells": size.astype(np.int64),
            "n_batches": np.where(size > 0, np.maximum(taking, 1), 0),
            "alone": [str(name) for name in alone],
        }
    )
    return {"overlap_states": table}


def _pairs(whole: Judged, matches: Matches, arrays: dict[str, NDArray[Any]]) -> dict[str, pd.DataFrame]:
    sample, present = whole.sample, whole.sample.present
    ratio = matches.ratios(sample.batch)
    others = ratio.copy()
    others[np.arange(sample.n_cells), sample.batch] = np.inf
    others[:, np.setdiff1d(np.arange(sample.n_batches), present)] = np.inf
    own_share = np.where(whole.state >= 0, arrays["state_batch"][np.maximum(whole.state, 0), sample.batch], 1.0)
    arrays["overlap_cells"] = np.column_stack([own_share, others.min(axis=1)])
    rows = [
        (a, b, whole.fit.support[a, b], median)
        for a in present
        for b, median in zip(present, np.median(ratio[sample.batch == a][:, present], axis=0), strict=True)
        if a != b
    ]
    first, second, share, distance = zip(*rows, strict=True)
    table = pd.DataFrame(
        {
            "batch": whole.names[list(first)],
            "other": whole.names[list(second)],
            "share": np.array(share),
            "distance_ratio": np.array(distance),
        }
    )
    return {"overlap_pairs": table}


def _mixing(whole: Judged, before: Float32Array, matches: Matches) -> dict[str, pd.DataFrame]:
    sample = whole.sample
    batch, state = sample.batch, sample.state
    n_cells = np.bincount(batch, minlength=sample.n_batches)[sample.present]

    def mean(of: FloatArray) -> FloatArray:
        return np.asarray(np.bincount(batch, of, sample.n_batches)[sample.present] / n_cells)

    table = pd.DataFrame(
        {
            "batch": whole.names[sample.present],
            "n_cells": n_cells,
            "before": mean(find_matches(before, batch, n_batches=sample.n_batches).same(batch)),
            "after": mean(matches.same(batch)),
            "expected": mean(expected_same(batch, state)),
            "elsewhere": mean(share_elsewhere(matches.shares, batch, state)),
        }
    )
    return {"mixing": table}
