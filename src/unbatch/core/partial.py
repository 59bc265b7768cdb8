"""Coordinates of cells of which not all genes were measured."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from unbatch._types import BoolArray, CodeArray, Float32Array, FloatArray, IntArray
from unbatch.core.kernels.centres import nearest_centre
from unbatch.core.parallel import in_ranges

_CELLS = 4096
_LEAST_NOISE = 1e-6
_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class Frame:
    r"""Axes, centres and size factors as cells see them that measured some of the genes.

    The log counts of a cell of state s are :math:`x = \bar x_s + V z + e`, with z of covariance Lambda and independent
    e of variance sigma squared. From the measured genes O, with :math:`G = V_O^\top V_O`, the best linear prediction of
    the coordinates :math:`q = V^\top x` is

    .. math:: \hat q = c_s + K V_O^\top (x_O - \bar x_{Os}), \qquad
              K = (\Lambda + \sigma^2) (G \Lambda + \sigma^2)^{-1},

    which is q itself if all genes are measured.

    Attributes
    ----------
    basis
        (n_genes, n_dims) :math:`V_O K^\top`, 0 for genes that were not measured.
    centres
        (n_states, n_dims) where the centres of the states lie on these axes.
    offset
        (n_states, n_dims) what takes them to where they belong, :math:`c_s - K V_O^\top \bar x_{Os}`.
    share
        (n_states,) measured share of the counts that make up the size factor.
    noise
        (n_dims,) variance that counts give to coordinates, over that with all genes, as if it were even over genes.
    whole
        Whether coordinates are those of the fit: every gene that matters was measured, at a depth like the fit's.
    """

    basis: FloatArray
    centres: FloatArray
    offset: FloatArray
    share: FloatArray
    noise: FloatArray
    whole: bool

    @classmethod
    def of(
        cls,
        basis: FloatArray,
        rate: FloatArray,
        *,
        measured: BoolArray,
        genes: BoolArray,
        centres: FloatArray,
        mean_logs: Float32Array,
        spread: FloatArray,
        noise: float,
        deep: bool = True,
    ) -> Self:
        """Look at a fit through some of its genes.

        Parameters
        ----------
        basis
            V, (n_genes, n_dims).
        rate
            (n_genes, n_states) batch-free rates.
        measured
            Genes that the cells measured, (n_genes,).
        genes
            Genes that make up the size factor, (n_genes,).
        centres
            (n_states, n_dims) centres c of the states.
        mean_logs
            (n_genes, n_states) mean log counts of the genes on axes.
        spread
            (n_states, n_dims, n_dims) covariance of the coordinates within states, Lambda plus sigma squared.
        noise
            Sigma squared.
        deep
            Whether cells with all genes of state s lie around its centre: mean logs and spread are those of the fit.
        """
        lost = ~measured & (genes | np.any(basis != 0, axis=1))
        if deep and not lost.any():
            n_states, n_dims = centres.shape
            return cls(basis, centres, np.zeros_like(centres), np.ones(n_states), np.ones(n_dims), whole=True)
        seen = basis
        if lost.any():
            seen = np.where(measured[:, None], basis, 0.0)
            n_dims = basis.shape[1]
            total = spread.mean(axis=0)
            values, vectors = np.linalg.eigh(total - noise * np.eye(n_dims))
            signal = (vectors * np.maximum(values, 0.0)) @ vectors.T
            noise = max(noise, _LEAST_NOISE * float(np.trace(total)) / n_dims, _TINY)
            own = noise * np.eye(n_dims)
            seen = seen @ ((signal + own) @ np.linalg.inv(seen.T @ seen @ signal + own)).T
        there = mean_logs.T.astype(np.float64) @ seen
        share = (rate * (genes & measured)[:, None]).sum(axis=0) / np.maximum(
            (rate * genes[:, None]).sum(axis=0), _TINY
        )
        louder = np.square(seen).sum(axis=0) / np.maximum(np.square(basis).sum(axis=0), _TINY)
        return cls(seen, there, centres - there, np.where(share > 0, share, 1.0), louder, whole=False)

    def nearest(self, where: FloatArray, level: CodeArray, centre_level: CodeArray) -> CodeArray:
        """Find the state with the nearest centre for cells on these axes, (n_cells,); -1 where none is of the level."""
        return nearest_of(where, level, self.centres, centre_level)

    def moved(self, where: FloatArray, state: CodeArray | IntArray) -> FloatArray:
        """Take cells from these axes to the coordinates of the fit; those without a state by the mean offset."""
        if self.whole:
            return where
        offset = np.vstack([self.offset, self.offset.mean(axis=0)])
        return np.asarray(where + offset[state])


def nearest_of(where: FloatArray, level: CodeArray, centres: FloatArray, centre_level: CodeArray) -> CodeArray:
    """Find the nearest of the centres of the same level for each cell, (n_cells,); -1 where there is none."""
    code = np.empty(len(where), dtype=np.int32)

    def some(start: int, stop: int) -> None:
        nearest_centre(where[start:stop], level[start:stop], centres, centre_level, code[start:stop])

    in_ranges(some, len(where), step=_CELLS)
    return code
