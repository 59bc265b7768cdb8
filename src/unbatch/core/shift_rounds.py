"""Shifts round after round: how they are found, made, and given to other batches."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from unbatch._types import CodeArray, FloatArray, IntArray, KeyArray
from unbatch.core.linked_shifts import LinkedPseudobulks, find_linked_shifts
from unbatch.core.shifts import Shifts, find_shifts

ShiftRounds: TypeAlias = tuple[Shifts, ...]
"""Each round shifts cells from where the one before left them."""

_ROUNDS = 5


def find_rounds(
    where: FloatArray,
    *,
    batch: CodeArray,
    level: CodeArray,
    group: IntArray,
    keys: KeyArray,
    seed: int,
    linked: LinkedPseudobulks | None = None,
) -> tuple[ShiftRounds, FloatArray]:
    """Draw the cells of each batch to their counterparts, in rounds of `find_shifts`, whose parameters these are.

    Parameters
    ----------
    where, batch, level, group, keys, seed
        See `find_shifts`.
    linked
        Links of pseudobulks, by which cells are drawn before (`find_linked_shifts`); none by default.

    Returns
    -------
    rounds
        The shifts.
    where
        Where they take the cells, (n_cells, n_dims).
    """
    rounds = list[Shifts]()
    if linked is not None:
        found = find_linked_shifts(where, linked, batch=batch, level=level, group=group, keys=keys, seed=seed)
        rounds.append(found)
        where = found.apply(where, batch, level)
    for number in range(_ROUNDS):
        found = find_shifts(where, batch=batch, level=level, group=group, keys=keys, seed=seed + number)
        rounds.append(found)
        where = found.apply(where, batch, level)
    return tuple(rounds), where


def apply_rounds(rounds: ShiftRounds, where: FloatArray, batch: CodeArray, level: CodeArray) -> FloatArray:
    """Shift cells, (n_cells, n_dims); those of a batch with any number that is none stay."""
    for one in rounds:
        where = one.apply(where, batch, level)
    return where


def with_shifts(rounds: ShiftRounds, shifts: Sequence[Sequence[FloatArray]]) -> ShiftRounds:
    """Put other batches in the place of these, given the shifts of each by round, (n_states, n_dims)."""
    return tuple(replace(one, shift=np.stack(own, axis=1)) for one, own in zip(rounds, shifts, strict=True))


def among_batches(rounds: ShiftRounds, used: IntArray, n_batches: int) -> ShiftRounds:
    """Give the batches their numbers `used` among all; the others stay where they are."""
    shifts = list[FloatArray]()
    for one in rounds:
        shift = np.zeros((len(one.centres), n_batches, one.centres.shape[1]))
        shift[:, used] = one.shift
        shifts.append(shift)
    return tuple(replace(one, shift=shift) for one, shift in zip(rounds, shifts, strict=True))
