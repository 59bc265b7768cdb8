"""Whether batches are displaced inside states by the way that their cells would be moved."""

import numpy as np

from unbatch._types import BoolArray, CodeArray, FloatArray, IntArray

SHOWN = 0.7
"""Least share of the way of cells that states must show for them to be drawn. Batches displaced by factors of their own
show more as a rule, types in other shares less."""
SHOWN_BY_LITTLE = 0.4
"""The same where little can be shown: by few cells, by a batch alone, or because effects have taken the rest."""
_TINY = 1e-300


def visible_shares(
    where: FloatArray, moved: FloatArray, state: CodeArray, batch: CodeArray, *, compared: BoolArray
) -> tuple[FloatArray, float]:
    r"""Find how much of what lies between batches, by how far their cells would be moved, is to be seen inside states.

    .. math:: \rho_k = \frac{\frac 1 h \sum_s w_{sk}\, d_{sk} \cdot v_{sk} + m^2}
              {\sum_s w_{sk} \lVert v_{sk} \rVert^2 + m^2}, \qquad w_{sk} = \frac{n_{sk} r_{sk}}{n_{sk} + r_{sk}}

    where d is the difference of the mean coordinates of the n cells of batch k in state s from those of the r cells of
    other batches there, v what moving them takes off that difference, and m the root mean square way of a cell, which
    lets pass what few cells tell of. Of normal cells that are cut into states, what is left of a displacement inside
    states is as much as is left of the variance: that is h, by the axis along which most is left of the variance of
    cells of a batch, since along others types differ.

    If batches are displaced, cells that happen to share a state are so, too, towards the rest of their batch. If one
    batch has many cells of one type and few of another, and another batch the reverse, cells of the same type lie in
    the same place, and moving the many of the one onto the many of the other is a way that no state shows.

    Parameters
    ----------
    where, moved
        Coordinates of the cells, (n_cells, n_dims), and where they would be moved.
    state, batch
        State and batch of each cell, (n_cells,).
    compared
        Batches whose cells are looked at in which state, (n_states, n_batches).

    Returns
    -------
    shares
        (n_batches,), about 1 for a batch that shows all of its way, or shares no state, 0 for one that shows nothing.
    together
        The same of all batches, numerators and denominators added up.
    """
    n_states, n_batches = compared.shape
    group = state.astype(np.int64) * n_batches + batch
    cells = np.bincount(group, minlength=compared.size).reshape(compared.shape) * compared
    others = cells.sum(axis=1, keepdims=True) - cells
    weight = (cells * others / np.maximum(cells + others, 1))[..., None]

    def differences(values: FloatArray) -> FloatArray:
        sums = np.stack([np.bincount(group, axis, compared.size) for axis in values.T], axis=1)
        sums = sums.reshape(n_states, n_batches, -1) * compared[..., None]
        rest = sums.sum(axis=1, keepdims=True) - sums
        return np.asarray(sums / np.maximum(cells, 1)[..., None] - rest / np.maximum(others, 1)[..., None])

    left = _left_by_states(where, group, batch, taking_part=compared[state, batch])
    way, of_a_cell = -differences(moved - where), max(float(np.square(moved - where).sum(axis=1).mean()), _TINY)
    seen = (weight * differences(where) * way).sum(axis=(0, 2)) / left
    whole = (weight * way**2).sum(axis=(0, 2))
    together = (seen.sum() + of_a_cell) / (whole.sum() + of_a_cell)
    return (seen + of_a_cell) / (whole + of_a_cell), float(together)


def _left_by_states(where: FloatArray, group: IntArray, batch: CodeArray, *, taking_part: BoolArray) -> float:
    """Variance of the cells of a batch in a state over that of all its cells, along the axis with the most of it."""
    inside, whole = (
        _within(where[taking_part], np.unique(code[taking_part], return_inverse=True)[1]) for code in (group, batch)
    )
    there = whole > 0
    return float(np.max(inside[there] / whole[there], initial=0.0)) or 1.0


def _within(values: FloatArray, code: IntArray) -> FloatArray:
    """Variance of values around the means of their groups, (n_columns,)."""
    cells = np.bincount(code)
    means = np.stack([np.bincount(code, axis) for axis in values.T], axis=1) / cells[:, None]
    return np.asarray(np.square(values - means[code]).sum(axis=0) / max(len(code) - len(cells), 1))
