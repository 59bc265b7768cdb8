"""Values that are no counts."""

import numpy as np
from scipy import sparse

from .ills import Ill, replaced, with_values

FORMS = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}
WRONG = {
    "negative": (-3.0, "4 negative"),
    "nan": (np.nan, "4 NaN"),
    "infinite": (np.inf, "4 infinite"),
    "minus-infinite": (-np.inf, "4 infinite"),
    "fractional": (0.5, "4 fractional"),
    "overflowing": (2.0**53, "4 at 2^53 or more"),
    "astronomic": (1e300, "4 at 2^53 or more"),
}
WHERE = ("X of", "cell 'cell_01', gene 'gene_01'", "use the raw counts")


def _first(value, number=4):
    def change(counts):
        counts.flat[:number] = value
        return counts

    return change


def _integers(dtype, value):
    def change(counts):
        counts = counts.astype(dtype)
        counts[0, 0] = value
        return counts

    return change


def _only(counts):
    one = np.zeros_like(counts)
    one[0, 0] = 5
    return one


VALUES = {
    f"{name}-{form}": Ill(with_values(_first(value), make), (word, *WHERE))
    for name, (value, word) in WRONG.items()
    for form, make in FORMS.items()
} | {
    "uint64-largest": Ill(with_values(_integers(np.uint64, 2**64 - 1)), ("1 at 2^53 or more", *WHERE)),
    "int64-smallest": Ill(with_values(_integers(np.int64, -(2**63))), ("1 negative", *WHERE)),
    "logged": Ill(with_values(np.log1p), ("826 fractional among 826", *WHERE)),
    "sum-past-2-53": Ill(with_values(lambda counts: counts * 0 + 2.0**52), ("add up to", "2^53")),
    "all-zero": Ill(with_values(np.zeros_like), ("no count at all", "choose another"), ("fit", "inspect")),
    "all-zero-dense": Ill(with_values(np.zeros_like, np.asarray), ("no count at all", "choose another"), ("fit",)),
    "one-value": Ill(with_values(_only), ("only 1 batch", "two are needed"), ("fit",)),
    "complex": Ill(replaced("X/data", lambda values: values.astype(complex)), ("complex128, not numbers",)),
    "strings": Ill(replaced("X/data", lambda values: np.full(len(values), b"3")), ("|S1, not numbers",)),
    "texts": Ill(replaced("X/data", lambda values: ["3"] * len(values)), ("object, not numbers",)),
    "records": Ill(
        replaced("X/data", lambda values: np.zeros(len(values), dtype=[("a", "f4"), ("b", "f4")])), ("not numbers",)
    ),
    "opaque": Ill(replaced("X/data", lambda values: np.zeros(len(values), dtype="V4")), ("|V4, not numbers",)),
    "float128": Ill(replaced("X/data", lambda values: values.astype(np.longdouble)), ("not numbers",)),
}
