"""Which cells have the very same counts: no two cells do by chance, if they have some tens of genes.

Cells with fewer genes may; but if every one of a batch is there twice, that is no chance.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from unbatch._types import BoolArray, CodeArray, Counts, IntArray, KeyArray
from unbatch.core.kernels.fingerprints import fingerprints_into
from unbatch.core.parallel import in_ranges
from unbatch.core.rows import rows_of

_FEWEST_GENES = 50
"""Cells with counts of fewer genes may be alike by chance."""
_FEWEST_DIFFERENT = 20
"""Different cells of a batch that are all there an even number of times by chance: one in 2^20 times at most."""
_GENES_AT_EACH_END = 32
_CELLS = 4096
_STEP = np.uint64(0x9E3779B97F4A7C15)
_LAST_BIT = np.uint64(1)


def fingerprints(counts: Counts) -> KeyArray:
    r"""Give each cell a number by which cells with the same counts are found, :math:`\sum_g w_g Y_{gj} \bmod 2^{64}`.

    The sum is over the first 32 and the last 32 genes that have counts, with w at random, and the number of genes with
    counts goes into it, too: to look at all counts would take time in every fit, and tell apart what chance does not
    bring about. That another cell has the same y counts of a gene has a chance of at most 0.37 if they are Poisson, of
    whatever mean (:math:`y^y e^{-y} / y!`, largest at 1), and 0.37^50 is 3e-22. The last bit tells whether a cell has
    counts of so many genes.

    Parameters
    ----------
    counts
        Whole counts, (n_cells, n_genes), without stored zeros.

    Returns
    -------
    (n_cells,) Cells that differ in what is looked at have the same number with a chance of about 2^-62.
    """
    marks = np.empty(counts.shape[0], dtype=np.uint64)
    weight = np.random.default_rng(0).integers(2**64, size=counts.shape[1], dtype=np.uint64) | np.uint64(1)

    def some(start: int, stop: int) -> None:
        rows = rows_of(counts, start, stop)
        fingerprints_into(*rows, weight, _FEWEST_GENES, _GENES_AT_EACH_END, marks[start:stop])

    in_ranges(some, len(marks), step=_CELLS)
    return marks


def with_totals(marks: KeyArray, totals: IntArray) -> KeyArray:
    """Let the total count of each cell have a part in its fingerprint, (n_cells,); 0 for cells without counts."""
    mixed = (marks + totals.astype(np.uint64) * _STEP) & ~_LAST_BIT
    return np.asarray(np.where(totals > 0, mixed | (marks & _LAST_BIT), np.uint64(0)))


def marks_of(counts: Counts) -> KeyArray:
    """Give the fingerprints of cells with their total counts in them, (n_cells,): see `fingerprints`."""
    return with_totals(fingerprints(counts), np.asarray(counts.sum(axis=1, dtype=np.float64)).ravel().astype(np.int64))


def has_few_genes(marks: KeyArray) -> BoolArray:
    """Tell which cells have counts of fewer than 50 genes, so that chance may make them alike, (n_cells,)."""
    return np.asarray((marks != 0) & ((marks & _LAST_BIT) == 0))


@dataclass(frozen=True, eq=False)
class Copies:
    """Cells that have the very counts of another one.

    Attributes
    ----------
    cells, like
        (n_copies,) positions of cells with the counts and the label of a cell before them, and of the first such cell.
        Of cells with few genes, where all of a batch are there m times, m - 1 of each m.
    contested, unlike, alike
        (n_contested,) positions of cells with the counts of a cell of another label, and of one of those; and a number
        that those with the same counts share.
    """

    cells: IntArray
    like: IntArray
    contested: IntArray
    unlike: IntArray
    alike: IntArray

    def among(self, cells: IntArray) -> "Copies":
        """Give positions among more cells, of which those looked at are at `cells`, (n_seen,)."""
        return Copies(cells[self.cells], cells[self.like], cells[self.contested], cells[self.unlike], self.alike)

    def only(self, among: BoolArray) -> "Copies":
        """Leave out cells that are not among these, (n_cells,)."""
        again, kept = among[self.cells], among[self.contested]
        return Copies(self.cells[again], self.like[again], self.contested[kept], self.unlike[kept], self.alike[kept])

    def without_a_batch(self, codes: CodeArray) -> IntArray:
        """Tell which contested cells say nothing of a batch, since they may be of another one.

        In a batch that is contested by more than a half they stay: if it was put into a larger one, that has copies of
        them, and if it was given twice, little else is left to tell its effects by.

        Parameters
        ----------
        codes
            Batch of each cell, (n_cells,).

        Returns
        -------
        Their positions, in ascending order.
        """
        own, sizes = codes[self.contested], np.bincount(codes[codes >= 0])
        mostly = 2 * np.bincount(own, minlength=sizes.size) > sizes
        return self.contested[~mostly[own]]

    def in_two(self, left_out: IntArray) -> bool:
        """Tell whether any counts are still there with two labels, once these cells are left out."""
        there = self.alike[~np.isin(self.contested, np.append(left_out, self.cells))]
        return len(np.unique(there)) < len(there)


def find_copies(marks: KeyArray, *labels: CodeArray) -> Copies:
    """Find the cells that have the very counts of another one.

    Cells with counts of fewer than 50 genes may be alike by chance. If in a batch each of them is there an even number
    of times, all are there twice, and likewise for larger numbers; if they are fewer than 20 different ones, the other
    cells of the batch must be repeated, too.

    Parameters
    ----------
    marks
        (n_cells,) from `with_totals`; 0 for cells that are not looked at.
    labels
        (n_cells,) each, what makes the label of a cell together, the batch first; cells with -1 in any take no part.

    Returns
    -------
    Copies
        Positions in ascending order. Those with another label are found among cells with enough genes only.
    """
    labelled = marks != 0
    for label in labels:
        labelled &= label >= 0
    few = has_few_genes(marks)
    certain, repeated = _certain(marks, labels, labelled & ~few), _repeated(marks, labels, labelled, few)
    if not repeated[0].size:
        return certain
    cells, like = _ascending(*(np.append(*both) for both in zip((certain.cells, certain.like), repeated, strict=True)))
    return replace(certain, cells=cells, like=like)


def _certain(marks: KeyArray, labels: Sequence[CodeArray], candidate: BoolArray) -> Copies:
    """Find copies among cells that are not alike by chance."""
    found = np.sort(marks[candidate])
    repeated = np.unique(found[1:][found[1:] == found[:-1]])
    if not repeated.size:
        return Copies(*np.zeros((5, 0), dtype=np.int64))
    place = np.minimum(np.searchsorted(repeated, marks), repeated.size - 1)
    cells = np.flatnonzero(candidate & (repeated[place] == marks))
    keys: list[IntArray | CodeArray | KeyArray] = [cells, *(label[cells] for label in labels), marks[cells]]
    cells = cells[np.lexsort(keys)]  # by mark, in it by label, in that by place
    new_mark = np.append(True, np.diff(marks[cells]) != 0)
    new_label = new_mark.copy()
    for label in labels:
        new_label[1:] |= np.diff(label[cells]) != 0
    first_of_label, first_of_mark, last_of_mark = _first(new_label), _first(new_mark), _last(new_mark)
    unlike = np.where(first_of_label == first_of_mark, first_of_label[last_of_mark], first_of_mark)
    contested = first_of_label[last_of_mark] != first_of_mark
    return Copies(
        *_ascending(cells[~new_label], cells[first_of_label[~new_label]]),
        *_ascending(cells[contested], cells[unlike[contested]], first_of_mark[contested]),
    )


def _repeated(
    marks: KeyArray, labels: Sequence[CodeArray], labelled: BoolArray, few: BoolArray
) -> tuple[IntArray, IntArray]:
    """Find copies among cells with few genes, where all cells of a batch were repeated.

    Of cells that are there k times, in a batch where the number of times of each is a multiple of m, k / m are left.
    Where fewer than 20 different cells have few genes, the others must be repeated, too.

    Returns
    -------
    Their positions, and those of the first cells alike.
    """
    mine = _Alike.of(marks, labels, labelled & few)
    if not mine.cells.size:
        return mine.cells, mine.cells
    n_batches = int(labels[0].max()) + 1
    common, n_different = mine.common(n_batches)
    asked = (n_different < _FEWEST_DIFFERENT) & (common > 1)
    if asked.any():
        others, n_others = _Alike.of(marks, labels, labelled & ~few & asked[labels[0]]).common(n_batches)
        common, n_different = np.gcd(common, others), n_different + n_others
    common = np.where(n_different >= _FEWEST_DIFFERENT, common, 1)
    copies = np.arange(len(mine.cells)) - mine.first >= mine.times // np.maximum(common, 1)[mine.batch]
    return mine.cells[copies], mine.cells[mine.first[copies]]


@dataclass(frozen=True, eq=False)
class _Alike:
    """Cells by label, in it by mark, in that by place: for each where those alike begin, and how many there are."""

    cells: IntArray
    batch: CodeArray
    first: IntArray
    times: IntArray

    @classmethod
    def of(cls, marks: KeyArray, labels: Sequence[CodeArray], candidate: BoolArray) -> Self:
        cells = np.flatnonzero(candidate)
        keys: list[IntArray | CodeArray | KeyArray] = [cells, marks[cells], *(own[cells] for own in reversed(labels))]
        cells = cells[np.lexsort(keys)]
        new = np.ones(len(cells), dtype=np.bool_)
        new[1:] = np.diff(marks[cells]) != 0
        for label in labels:
            new[1:] |= np.diff(label[cells]) != 0
        first = _first(new)
        return cls(cells, labels[0][cells], first, _last(new) - first + 1)

    def common(self, n_batches: int) -> tuple[IntArray, IntArray]:
        """Greatest common divisor of the times of each batch, 0 without cells, and how many different cells it has."""
        new = self.first == np.arange(len(self.cells))
        common = np.zeros(n_batches, dtype=np.int64)
        np.gcd.at(common, self.batch[new], self.times[new])
        return common, np.bincount(self.batch[new], minlength=n_batches)


def _first(new: BoolArray) -> IntArray:
    """Place where the run of each begins, (n,); runs begin where `new` is True."""
    return np.asarray(np.maximum.accumulate(np.where(new, np.arange(len(new)), 0)))


def _last(new: BoolArray) -> IntArray:
    """Place where the run of each ends, (n,)."""
    ends = np.append(new[1:], True)
    return np.asarray(np.minimum.accumulate(np.where(ends, np.arange(len(new)), len(new))[::-1])[::-1])


def _ascending(cells: IntArray, *others: IntArray) -> tuple[IntArray, ...]:
    order = np.argsort(cells)
    return cells[order], *(values[order] for values in others)
