"""What the noise of its counts does to the place of a cell, taken out as far as can be expected."""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from unbatch._types import CodeArray, FloatArray, KeyArray
from unbatch.core.embedding_states import find_states
from unbatch.core.kernels.denoising import expect, learn, share_out
from unbatch.core.keyed import evenly
from unbatch.core.parallel import in_ranges

_ROUNDS = 10
_CELLS_PER_STATE = 400
"""Few states: many of them would be carved from the noise, and cells drawn to their centres make clusters of it."""
_MOST_CELLS = 20_000
"""Cells by which states are described; of more, so many drawn by their keys."""
_PRIOR_CELLS = 25.0
"""Cells for which the mean variance of all states counts in that of each."""
_ROWS = 1024
_TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Denoising:
    r"""A mixture of Gaussians for the true coordinates of cells, by which those in noise are told where they belong.

    Counts are as if drawn from Poisson distributions, so that the coordinates q of a cell are its true ones plus noise,
    the more of it the fewer counts it has. With true coordinates spread in state s with variance v around the centre c,
    along each axis, and noise of variance n over the size factor l of the cell, the expected ones are

    .. math:: q + \sum_s w_s \frac{n_s / l}{v_s + n_s / l} (c_s - q), \qquad
              w_s \propto \pi_s \, N(q; c_s, v_s + n_s / l) .

    This is *extreme deconvolution* (Bovy, Hogg & Roweis 2011) with variances along axes alone. Where cells lie so
    densely that the mixture is flat, what draws to one state cancels what draws to the next, and they stay.

    Attributes
    ----------
    level
        (n_states,) level whose cells the state is for.
    share
        (n_states,) share pi of the cells.
    centres
        (n_states, n_dims) centres c.
    signal
        (n_states, n_dims) variance v of true coordinates.
    noise
        (n_states, n_dims) variance n of the noise of a cell with size factor 1.
    """

    level: CodeArray
    share: FloatArray
    centres: FloatArray
    signal: FloatArray
    noise: FloatArray

    @classmethod
    def of(
        cls, where: FloatArray, noise: FloatArray, size: FloatArray, *, level: CodeArray, keys: KeyArray, seed: int
    ) -> Self:
        """Find the mixture by expectation maximisation, from the states of `find_states` on.

        Parameters
        ----------
        where
            Coordinates of cells, (n_cells, n_dims).
        noise
            Variance of their noise, (n_cells, n_dims): see `LogCounts.noise`.
        size
            Their size factors, (n_cells,).
        level
            Level of each cell, (n_cells,).
        keys
            What the random numbers of each cell follow from, (n_cells,): see `keys_of`.
        seed
            Start of the clustering.
        """
        centres, levels, squared = find_states(where, level, keys, cells_each=_CELLS_PER_STATE, seed=seed)
        some = evenly(keys, _MOST_CELLS)
        where, noise, shallow, level = where[some], noise[some], 1 / size[some], level[some]
        spread = np.full(centres.shape, squared / where.shape[1])
        usual = np.broadcast_to(noise.sum(axis=0) / shallow.sum(), centres.shape)
        found = cls(levels, np.full(len(centres), 1 / len(centres)), centres, spread, np.array(usual))
        for _ in range(_ROUNDS):
            found = found._learned(where, noise, shallow, level)
        return found

    def apply(self, where: FloatArray, size: FloatArray, level: CodeArray) -> FloatArray:
        """Move cells to where they are expected to be, (n_cells, n_dims). Neither blocks nor threads change a bit.

        Parameters
        ----------
        where
            Coordinates, (n_cells, n_dims).
        size
            Size factors, (n_cells,).
        level
            Level of each cell, (n_cells,); cells of one without states stay.
        """
        moved, shallow, states = where.copy(), 1 / size, self._by_axis()

        def some(start: int, stop: int) -> None:
            cells = slice(start, stop)
            weights = np.empty((stop - start, len(self.share)))
            share_out(where[cells], shallow[cells], level[cells], self.level, *states, weights)
            expect(where[cells], shallow[cells], weights, self.centres, self.signal, self.noise, moved[cells])

        in_ranges(some, len(where), step=_ROWS)
        return moved

    def louder(self, factor: FloatArray) -> Self:
        """Expect so many times the noise along each axis, (n_dims,)."""
        return replace(self, noise=self.noise * factor)

    def _by_axis(self) -> tuple[FloatArray, ...]:
        log_share = np.log(np.maximum(self.share, _TINY))
        return log_share, *(np.ascontiguousarray(of.T) for of in (self.centres, self.signal, self.noise))

    def _learned(self, where: FloatArray, noise: FloatArray, shallow: FloatArray, level: CodeArray) -> Self:
        """Describe states by the cells that are expected to be of them."""
        n_parts, states = -(-len(where) // _ROWS), self._by_axis()
        weights = np.empty((len(where), len(self.share)))
        sums, squares = (np.zeros((n_parts, *self.centres.shape)) for _ in range(2))

        def some(start: int, stop: int) -> None:
            cells, part = slice(start, stop), start // _ROWS
            share_out(where[cells], shallow[cells], level[cells], self.level, *states, weights[cells])
            mixture = (weights[cells], self.centres, self.signal, self.noise)
            learn(where[cells], shallow[cells], *mixture, sums[part], squares[part])

        in_ranges(some, len(where), step=_ROWS)
        cells = weights.sum(axis=0)
        each, n_cells = np.maximum(cells, _TINY)[:, None], max(float(cells.sum()), _TINY)
        centres = np.where(cells[:, None] > 0, sums.sum(axis=0) / each, self.centres)
        scatter = np.maximum(squares.sum(axis=0) - cells[:, None] * centres**2, 0.0)
        usual = _PRIOR_CELLS * scatter.sum(axis=0) / n_cells
        signal = np.maximum((scatter + usual) / (cells[:, None] + _PRIOR_CELLS), _TINY)
        of_noise = weights.T @ noise / np.maximum(weights.T @ shallow, _TINY)[:, None]
        return type(self)(self.level, cells / n_cells, centres, signal, of_noise)
