"""Groups of cells that a state has not are told apart; an error that all groups share is not taken for one."""

import numpy as np
import pytest

from unbatch.core.landmarks import Landmarks
from unbatch.core.novel_groups import Groups

N_DIMS = 3


@pytest.fixture(scope="module")
def landmarks():
    own_genes = np.eye(8)[:, :2]
    return Landmarks(
        scale=1.0,
        noise=0.1,
        log_delta=np.zeros((8, 2)),
        gene_shift=np.zeros(8),
        exposure=np.ones((8, 2)),
        dispersion=np.ones(8),
        expression=np.ones(8),
        mean_logs=(own_genes @ np.array([[1.0, 2.0], [0.0, 1.0]])).astype(np.float32),
        embedding_logs=np.zeros((8, 2), dtype=np.float32),
        centres=np.array([[0.0, 0, 0], [10.0, 0, 0]]),
        spread=np.tile(np.eye(N_DIMS), (2, 1, 1)),
        level=np.zeros(2, dtype=np.int32),
        level_names=(),
        cells=np.full((2, 2), 100.0),
        sizes=np.full((2, 2), 100.0),
        support=np.ones((2, 2), dtype=bool),
        group=np.zeros(2, dtype=np.int64),
    )


OWN = np.eye(8)[:, :2]


def cells(shift, beside, n=200, seed=0):
    """Cells of the first state, moved on the axes of the reference and on their own."""
    rng = np.random.default_rng(seed)
    return np.hstack(
        [rng.normal(0, 1, (n, N_DIMS)) + shift, rng.normal(0, 0.3, (n, 2)) + np.array([1.0, 0.0]) + beside]
    )


def novel(where, landmarks):
    state = np.zeros(len(where), dtype=np.int32)
    groups = Groups.of(where, state, own=OWN, landmarks=landmarks, seed=0)
    return groups.apart(where[:, :N_DIMS], where[:, N_DIMS:], state)


def test_cells_of_the_state_stay(landmarks):
    assert novel(cells(0, 0), landmarks).mean() < 0.03


@pytest.mark.parametrize(("shift", "beside"), [([0, 5, 0], 0), (0, [0, 5])])
def test_cells_of_another_kind_are_told_apart_on_either_axes(landmarks, shift, beside):
    where = np.vstack([cells(0, 0), cells(shift, beside, n=40, seed=1)])
    apart = novel(where, landmarks)
    assert apart[:200].mean() < 0.05
    assert apart[200:].mean() > 0.9


def test_what_all_cells_share_beside_the_axes_is_no_other_kind(landmarks):
    assert novel(cells(0, [3, 3]), landmarks).mean() < 0.03


def test_two_cells_are_no_group(landmarks):
    assert not novel(cells([0, 9, 0], 0, n=2), landmarks).any()


def test_no_cells_make_no_groups(landmarks):
    groups = Groups.of(np.zeros((4, 5)), np.full(4, -1, np.int32), own=OWN, landmarks=landmarks, seed=0)
    assert not groups.apart(np.zeros((4, 3)), np.zeros((4, 0)), np.full(4, -1, np.int32)).any()
