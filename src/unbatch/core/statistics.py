"""Sufficient statistics of the model, summed block by block as exact integers."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from unbatch._check import InputError
from unbatch._types import CodeArray, Counts, FloatArray, IntArray
from unbatch.core.matching import WEIGHT_SCALE
from unbatch.core.pseudobulk import Samples

LIMB_BITS = 20
"""A weight in units of 2^-40 is summed as two limbs of 20 bits, so that 2^43 counts of a gene fit 64 bits."""

LOW_LIMB = 2**LIMB_BITS - 1


@dataclass(frozen=True)
class SampleStatistics:
    """What the model needs to know about the cells.

    Attributes
    ----------
    ybar
        (n_genes, n_samples) mean counts of the cells of each sample; 0 in a sample without cells.
    zbar
        (n_genes, n_samples) mean counterfactual counts of the matched cells of each sample; 0 where none is matched.
    n_sk
        (n_batches, n_samples) number of cells.
    s_gk
        (n_genes, n_batches) total counts, ``S_gk = sum_j X_kj Y_gj``.
    n_matched
        (n_samples,) number of cells that have a counterfactual.
    """

    ybar: FloatArray
    zbar: FloatArray
    n_sk: FloatArray
    s_gk: FloatArray
    n_matched: FloatArray

    @property
    def n_s(self) -> FloatArray:
        """(n_samples,) number of cells of each sample."""
        return np.asarray(self.n_sk.sum(axis=0), dtype=np.float64)

    @property
    def p_sk(self) -> FloatArray:
        """(n_batches, n_samples) share of each batch in each sample; 0 in a sample without cells."""
        return self.n_sk / np.maximum(self.n_s, 1.0)


def membership(codes: CodeArray, n_codes: int) -> sparse.csr_array:
    """Write codes as a sparse one-hot matrix of integers.

    Parameters
    ----------
    codes
        (n_cells,); a negative code is a column of zeros.
    n_codes
        Number of rows.

    Returns
    -------
    (n_codes, n_cells)
    """
    present = np.flatnonzero(codes >= 0)
    ones = np.ones(present.size, dtype=np.int64)
    return sparse.csr_array((ones, (codes[present], present)), shape=(n_codes, codes.size))


def transfer_weights(weights: sparse.csr_array, samples: Samples, *, batch: CodeArray) -> sparse.csc_array:
    """Sum the matching weights over the cells of each sample, ``I W``.

    With I the one-hot matrix of samples, the counterfactual sums of all samples are ``(I W) Y``: Z is never formed for
    a cell, and each block of cells i adds its own columns times its own counts.

    Parameters
    ----------
    weights
        (n_cells, n_cells) W, whole multiples of 2^-40.
    samples
        Sample of each cell.
    batch
        (n_cells,) a cell with a negative code takes no part.

    Returns
    -------
    (n_samples, n_cells) CSC of int64, in units of 2^-40.
    """
    fixed = sparse.csr_array(
        (np.rint(weights.data * WEIGHT_SCALE).astype(np.int64), weights.indices, weights.indptr), shape=weights.shape
    )
    codes = np.where(batch >= 0, samples.codes, -1)
    return sparse.csc_array(membership(codes, samples.n_samples) @ fixed)


class PseudobulkSums:
    """Running sums over blocks of cells.

    Counts are integers and weights whole multiples of 2^-40, so every sum is an exact 64-bit integer: block size, order
    of the blocks and the tree of merges change no bit.

    Parameters
    ----------
    n_genes, n_samples, n_batches
        Shapes.

    Attributes
    ----------
    counts
        (n_samples, n_genes) sums of counts.
    counterfactuals
        (n_samples, n_genes) sums of counterfactual counts, whole multiples of 2^-20.
    remainders
        (n_samples, n_genes) what those leave of the sums, in units of 2^-40.
    totals
        (n_batches, n_genes) sums of counts.
    cells
        (n_batches, n_samples) numbers of cells.
    matched
        (n_samples,) sums of matching weights, in units of 2^-40.
    """

    def __init__(self, *, n_genes: int, n_samples: int, n_batches: int) -> None:
        self.counts = np.zeros((n_samples, n_genes), dtype=np.int64)
        self.counterfactuals = np.zeros((n_samples, n_genes), dtype=np.int64)
        self.remainders = np.zeros((n_samples, n_genes), dtype=np.int64)
        self.totals = np.zeros((n_batches, n_genes), dtype=np.int64)
        self.cells = np.zeros((n_batches, n_samples), dtype=np.int64)
        self.matched = np.zeros(n_samples, dtype=np.int64)

    def add(self, counts: Counts, *, sample: CodeArray, batch: CodeArray, transfer: sparse.csc_array) -> Self:
        """Add a block of cells.

        Parameters
        ----------
        counts
            (n_block, n_genes) whole numbers, of any dtype.
        sample
            (n_block,) sample of each cell.
        batch
            (n_block,) batch of each cell; a cell with a negative code adds nothing of its own.
        transfer
            (n_samples, n_block) the block's columns of `transfer_weights`.

        Returns
        -------
        self

        Raises
        ------
        InputError
            If counts are not whole numbers, or a sum does not fit 64 bits: more than 2^23 (8 million) matched cells in
            one sample.
        """
        whole = _whole(counts)
        n_batches, n_samples = self.cells.shape
        batches = membership(batch, n_batches)
        samples = membership(np.where(batch >= 0, sample, -1), n_samples)
        _accumulate(self.cells, batches @ samples.T)
        _accumulate(self.totals, batches @ whole)
        _accumulate(self.counts, samples @ whole)
        high, low = _limbs(transfer)
        _accumulate(self.counterfactuals, high @ whole)
        _accumulate(self.remainders, low @ whole)
        self.matched += transfer.sum(axis=1)
        _refuse_overflow(self.matched)
        return self

    def finish(self) -> SampleStatistics:
        """Turn the sums into means."""
        n_s = self.cells.sum(axis=0)
        # carry first: then equal sums have equal limbs, whatever blocks they came from
        high = self.counterfactuals + (self.remainders >> LIMB_BITS)
        z_sums = high / 2.0**LIMB_BITS + (self.remainders & LOW_LIMB) / WEIGHT_SCALE
        return SampleStatistics(
            ybar=(self.counts / np.maximum(n_s, 1)[:, None]).T.copy(),
            zbar=(z_sums / np.where(self.matched > 0, self.matched / WEIGHT_SCALE, 1.0)[:, None]).T.copy(),
            n_sk=self.cells.astype(np.float64),
            s_gk=self.totals.T.astype(np.float64),
            n_matched=self.matched / WEIGHT_SCALE,
        )


def merge(a: PseudobulkSums, b: PseudobulkSums) -> PseudobulkSums:
    """Add up two accumulators over different cells in a new one.

    Parameters
    ----------
    a, b
        Of the same shapes.

    Returns
    -------
    PseudobulkSums

    Raises
    ------
    InputError
        If the shapes differ or a sum does not fit 64 bits.
    """
    shapes = [(sums.counts.shape[1], *sums.cells.shape) for sums in (a, b)]
    if shapes[0] != shapes[1]:
        raise InputError(f"cannot merge sums of (genes, batches, samples) {shapes[0]} and {shapes[1]}")
    n_genes, n_batches, n_samples = shapes[0]
    merged = PseudobulkSums(n_genes=n_genes, n_samples=n_samples, n_batches=n_batches)
    for name, values in vars(merged).items():
        np.add(getattr(a, name), getattr(b, name), out=values)
        _refuse_overflow(values)
    return merged


def _whole(counts: Counts) -> Counts:
    with np.errstate(invalid="ignore"):  # NaN and inf become some integer and fail the comparison
        data = counts.data.astype(np.int64)
    if (n_broken := np.count_nonzero(data != counts.data)) > 0:
        raise InputError(
            f"{n_broken} of {counts.nnz} counts in a block are not whole numbers: give raw counts, not normalised or "
            "logged values"
        )
    return sparse.csr_array((data, counts.indices, counts.indptr), shape=counts.shape)


def _limbs(transfer: sparse.csc_array) -> tuple[sparse.csr_array, sparse.csr_array]:
    rows = sparse.csr_array(transfer)
    high, low = rows.copy(), rows.copy()
    high.data >>= LIMB_BITS
    low.data &= LOW_LIMB
    return high, low


def _accumulate(sums: IntArray, block: sparse.sparray) -> None:
    entries = sparse.coo_array(block)  # each entry once, so that += reaches all of them
    sums[entries.row, entries.col] += entries.data
    _refuse_overflow(sums[entries.row, entries.col])


def _refuse_overflow(sums: IntArray) -> None:
    # both summands are below 2^63, so a sum that wraps around is negative
    if sums.size and sums.min() < 0:
        raise InputError(
            "a sum does not fit 64 bits: some sample has more than 2^23 matched cells; use more samples, or fewer cells"
        )
