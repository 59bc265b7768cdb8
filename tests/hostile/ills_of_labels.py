"""Batch labels that are none, or none to compare; and labels that are odd but good."""

import numpy as np
import pandas as pd

from .ills import N_CELLS, Ill, edited, replaced, spoilt

UNLABELLED = ("obs['batch']", "no label for 20 of 60 cells", "'cell_", "label them, or drop them")
FITTING = ("fit", "inspect")
TRUTH = (True, False)


def labelled(*pattern, **options):
    """Labels in turn; with options as a pandas array."""

    def change(adata):
        values = [pattern[cell % len(pattern)] for cell in range(N_CELLS)]
        adata.obs["batch"] = pd.array(values, **options) if options else values

    return spoilt(change)


def categorical(*pattern, categories):
    """Labels in turn, with categories that need not all occur."""

    def change(adata):
        values = [pattern[cell % len(pattern)] for cell in range(N_CELLS)]
        adata.obs["batch"] = pd.Categorical(values, categories=categories)

    return spoilt(change)


def _each_alone(values):
    def change(adata):
        adata.obs["batch"] = values

    return spoilt(change)


def _without(adata):
    del adata.obs["batch"]


def _no_columns(adata):
    adata.obs = adata.obs[[]]


LABELS = {
    "missing-category": Ill(categorical(None, "a", "b", categories=["a", "b"]), UNLABELLED),
    "missing-all": Ill(categorical(None, categories=["a", "b"]), ("no label for 60 of 60 cells", "label them")),
    "empty-text": Ill(labelled("", "a", "b"), UNLABELLED),
    "missing-number": Ill(labelled(np.nan, 1.0, 2.0), UNLABELLED),
    "missing-integer": Ill(labelled(None, 1, 2, dtype="Int64"), UNLABELLED),
    "missing-truth": Ill(labelled(None, *TRUTH, dtype="boolean"), UNLABELLED),
    "no-such-column": Ill(spoilt(_without), ("no obs column 'batch'", "likely columns are", "'cell_type'")),
    "no-column-at-all": Ill(spoilt(_no_columns), ("no obs column 'batch'", "no columns at all: add one")),
    "one-level": Ill(labelled("only"), ("single batch, 'only', for all 60 cells", "choose another column"), FITTING),
    "a-level-per-cell": Ill(
        _each_alone([f"c{cell}" for cell in range(N_CELLS)]),
        ("0 batches of at least 2 cells", "60 are too small: 'c0' (1)", "Lower min_cells or choose"),
        FITTING,
    ),
    "measurements": Ill(
        _each_alone(np.linspace(0, 1, N_CELLS)), ("0 batches of at least 2 cells", "Lower min_cells"), FITTING
    ),
    "one-large-enough": Ill(
        _each_alone(["a"] * (N_CELLS - 1) + ["b"]), ("1 batches of at least 2 cells", "'b' (1)", "Lower"), FITTING
    ),
    "code-past-the-levels": Ill(
        edited(lambda file: file["obs/batch/codes"].__setitem__(3, 9)), ("in.h5ad", "codes need to be between")
    ),
    "codes-short": Ill(replaced("obs/batch/codes", lambda codes: codes[:-3]), ("in.h5ad", "damaged")),
    "column-lost": Ill(edited(lambda file: file["obs"].__delitem__("batch")), ("in.h5ad", "'batch' doesn't exist")),
}

ODD_TEXTS = (
    *("1", "1.0"),
    *(" ", "..", "/"),
    *("NA", "a", "a\nb", "a/b", "c\td\x1b[31m"),
    *("\u00e9\u0301", "nan"),
    *("x" * 5000, "y" * 5000),
    *("\u202e\u03b2", "\U0001f600"),
)
"""In the order of batches: numbers, words that mean something elsewhere, spaces, long ones, letters of all kinds."""
ODD_LABELS = {
    "integers": (labelled(10, 9), ("9", "10")),
    "booleans": (labelled(*TRUTH), ("False", "True")),
    "floats-and-infinity": (labelled(0.5, np.inf, 1.5), ("0.5", "1.5", "inf")),
    "unused-categories": (categorical("a", "b", categories=["z", "b", "a", "c"]), ("b", "a")),
    "texts": (labelled(*reversed(ODD_TEXTS)), ODD_TEXTS),
}
"""Name: how to make it, and the batches that must come of it in this order."""
