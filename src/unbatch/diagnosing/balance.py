"""Tables of balance: how far matched cells of two batches differ."""

import numpy as np
import pandas as pd

from unbatch._types import BoolArray, Counts, FloatArray
from unbatch.core.diagnostics.balance import (
    Pairs,
    measured_by_pair,
    pair_batches,
    spread_of,
    standardised_differences,
)
from unbatch.core.diagnostics.sample import as_rows
from unbatch.diagnosing.judged import Judged

_BALANCE_GENES = 40
_IMBALANCED = 0.1


def balance_tables(whole: Judged, raw: Counts, clean: Counts) -> dict[str, pd.DataFrame]:
    """Tables "balance" and "balance_summary", from log counts without and with correction, (n_checked, n_genes)."""
    sample = whole.sample
    pairs = pair_batches(sample.state, sample.batch, shape=(sample.n_states, sample.n_batches))
    shape = (sample.n_states, sample.n_batches)
    spread = spread_of(raw, batch=sample.batch, state=sample.state, shape=shape)
    variance, asked = spread.of(pairs), measured_by_pair(pairs, sample.measured)

    def differences(values: Counts, unit: FloatArray) -> FloatArray:
        return standardised_differences(values, pairs, batch=sample.batch, state=sample.state, variance=unit)

    before, after = (np.where(asked, differences(values, variance), 0.0) for values in (raw, clean))
    own, other = whole.names[pairs.batch], np.where(pairs.other >= 0, whole.names[pairs.other], "")
    asked = asked & (sample.totals > 0)
    summary = pd.DataFrame(
        {
            "batch": own,
            "other": [str(name) for name in other],
            "mean_before": _mean(np.abs(before), asked),
            "mean_after": _mean(np.abs(after), asked),
            "over_01_before": _mean((np.abs(before) > _IMBALANCED).astype(float), asked),
            "over_01_after": _mean((np.abs(after) > _IMBALANCED).astype(float), asked),
            "rms_before": _beyond_chance(before, asked, spread.within / np.maximum(variance, 1e-12), pairs),
            "rms_after": _beyond_chance(after, asked, spread.within / np.maximum(variance, 1e-12), pairs),
        }
    )
    parts = []
    for place in range(len(pairs.batch)):
        size = np.where(asked[place], np.maximum(np.abs(before[place]), np.abs(after[place])), -1.0)
        best = np.argsort(-size, kind="stable")[:_BALANCE_GENES]
        best = best[size[best] >= 0]
        parts.append((place, "gene", whole.genes[best], before[place, best], after[place, best]))
    if whole.after is not None and whole.along is not None:
        along, placed = as_rows(whole.along), as_rows(whole.after.astype(np.float64))
        of_dims = spread_of(along, batch=sample.batch, state=sample.state, shape=shape).of(pairs)
        names = np.array([f"dim {number + 1}" for number in range(along.shape[1])], dtype=object)
        dims = [differences(values, of_dims) for values in (along, placed)]
        parts += [(place, "dim", names, dims[0][place], dims[1][place]) for place in range(len(pairs.batch))]
    sizes = [len(names) for _, _, names, _, _ in parts]
    places = np.repeat([place for place, *_ in parts], sizes).astype(np.int64)
    table = pd.DataFrame(
        {
            "batch": own[places],
            "other": [str(name) for name in other[places]],
            "kind": np.repeat([kind for _, kind, *_ in parts], sizes).astype(object),
            "name": np.concatenate([names for _, _, names, _, _ in parts] or [np.array([], dtype=object)]),
            "before": np.concatenate([values for *_, values, _ in parts] or [np.zeros(0)]),
            "after": np.concatenate([values for *_, values in parts] or [np.zeros(0)]),
            "n_matched": pairs.n_matched[places],
        }
    )
    return {"balance": table, "balance_summary": summary}


def _mean(values: FloatArray, asked: BoolArray) -> FloatArray:
    return np.asarray((values * asked).sum(axis=1) / np.maximum(asked.sum(axis=1), 1))


def _beyond_chance(smd: FloatArray, asked: BoolArray, within: FloatArray, pairs: Pairs) -> FloatArray:
    """Root mean square of differences, less what chance alone would leave, (n_pairs,)."""
    chance = np.minimum(within, 1.0) * pairs.chance[:, None]
    return np.sqrt(np.maximum(_mean(smd**2 - chance, asked), 0.0))
