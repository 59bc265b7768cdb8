"""Where new cells lie among the states of a fit, and in its embedding."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from unbatch._types import BoolArray, CodeArray, Counts, FloatArray
from unbatch.core.embedding import Embedding
from unbatch.core.landmarks import Landmarks
from unbatch.core.partial import Frame
from unbatch.core.projection import LogAxes
from unbatch.core.shift_rounds import ShiftRounds, apply_rounds

_TINY = 1e-300


@dataclass(frozen=True, eq=False)
class View:
    """A fit as seen through the genes that some cells measured.

    Attributes
    ----------
    states
        The axes on which cells are compared, and its states on them.
    embedding
        The axes of its embedding, and its states on them.
    """

    states: Frame
    embedding: Frame

    @classmethod
    def of(
        cls,
        basis: FloatArray,
        rate: FloatArray,
        *,
        measured: BoolArray,
        genes: BoolArray,
        landmarks: Landmarks,
        embedding: Embedding,
        seen: Landmarks | None = None,
    ) -> Self:
        """Look at a fit through some of its genes.

        Parameters
        ----------
        basis
            Its axes, (n_genes, n_dims).
        rate
            (n_genes, n_states) its rates, on the footing of its output.
        measured
            Genes that the cells measured, (n_genes,).
        genes
            Genes that make up the size factor, (n_genes,).
        landmarks
            Its states.
        embedding
            Its embedding.
        seen
            Its states as cells of another depth see them (`unbatch.core.depth`); as they are by default.
        """
        deep, seen = seen is None, seen or landmarks
        noise, further = seen.noise, embedding.basis
        across, own, other = further.T @ basis, np.eye(basis.shape[1]), np.eye(further.shape[1])
        # beside the axes of the states, cells of a state differ by noise alone as far as it is known
        spread = across @ (seen.spread - noise * own) @ across.T + noise * other
        rate = rate * np.exp(-landmarks.gene_shift)[:, None]
        states = Frame.of(
            basis,
            rate,
            measured=measured,
            genes=genes,
            centres=landmarks.centres,
            mean_logs=seen.mean_logs,
            spread=seen.spread,
            noise=noise,
            deep=deep,
        )
        embedded = Frame.of(
            further,
            rate * np.exp(embedding.centre)[:, None],
            measured=measured,
            genes=genes,
            centres=landmarks.embedding_logs.T.astype(np.float64) @ further,
            mean_logs=seen.embedding_logs,
            spread=spread,
            noise=noise,
            deep=deep,
        )
        return cls(states, embedded)


@dataclass(frozen=True, eq=False)
class Axes:
    """Both kinds of axes of a `View`, ready to be used; None for the embedding if it is not wanted.

    Coordinates in which cells are compared are shifted before states are found, if the view has all genes of the fit.
    """

    states: LogAxes
    embedding: LogAxes | None
    shifts: ShiftRounds

    @classmethod
    def of(
        cls,
        view: View,
        *,
        log_delta: FloatArray,
        genes: BoolArray,
        centre: FloatArray | None = None,
        shifts: ShiftRounds = (),
    ) -> Self:
        """Prepare axes.

        Parameters
        ----------
        view
            What the cells measured.
        log_delta
            Log effects on the footing of the coordinates, (n_genes, n_batches).
        genes
            Genes that make up the size factor, (n_genes,).
        centre
            What effects are relative to in the embedding, (n_genes,); None if it is not wanted.
        shifts
            Of the batches in `log_delta`; none by default.
        """
        embedding: LogAxes | None = None
        if centre is not None:
            embedding = LogAxes.of(view.embedding.basis, log_delta=log_delta - centre[:, None], genes=genes)
        states = LogAxes.of(view.states.basis, log_delta=log_delta, genes=genes)
        return cls(states, embedding, shifts if view.states.whole else ())


@dataclass(frozen=True, eq=False)
class Places:
    """Where cells lie.

    Attributes
    ----------
    where
        (n_cells, n_dims) coordinates in which cells are compared.
    along
        (n_cells, n_embedding_dims) coordinates along the axes of the embedding, before its shifts; none if not wanted.
    state
        (n_cells,) nearest state; -1 without one.
    size
        (n_cells,) size factor, over all genes that make it up.
    size_along
        (n_cells,) the same as the embedding takes it; none if not wanted.
    """

    where: FloatArray
    along: FloatArray
    state: CodeArray
    size: FloatArray
    size_along: FloatArray


def place(
    counts: Counts, batch: CodeArray, level: CodeArray, *, axes: Axes, view: View, landmarks: Landmarks
) -> Places:
    """Find where cells lie among the states and in the embedding.

    Parameters
    ----------
    counts
        Counts, (n_cells, n_genes).
    batch
        Column of the effects in `axes`, (n_cells,).
    level
        Condition of each cell, (n_cells,), -1 for one that the fit did not see.
    axes
        Axes for the logs of counts, made of `view`.
    view
        What the cells measured.
    landmarks
        The states.

    Returns
    -------
    Places
    """
    frame, scale = view.states, landmarks.scale
    size = counted = axes.states.sizes(counts, batch)
    usual = float(np.average(frame.share, weights=landmarks.cells.sum(axis=1) + _TINY))
    if not frame.whole:
        where = axes.states.project(counts, batch, scale=scale, size=counted / usual)
        state = frame.nearest(where, level, landmarks.level)
        size = counted / np.append(frame.share, usual)[state]
    where = apply_rounds(axes.shifts, axes.states.project(counts, batch, scale=scale, size=size), batch, level)
    state = frame.nearest(where, level, landmarks.level)
    along, size_along = np.zeros((len(where), 0)), np.zeros(0)
    if axes.embedding is not None:
        share = np.append(view.embedding.share, view.embedding.share.mean())[state]
        size_along = axes.embedding.sizes(counts, batch) / share
        along = view.embedding.moved(axes.embedding.project(counts, batch, scale=scale, size=size_along), state)
    return Places(frame.moved(where, state), along, state, size, size_along)
