"""Coordinates from some of the genes: exact where none is lost, unbiased and as wide as before where some are."""

import numpy as np
import pytest

from unbatch.core.partial import Frame, nearest_of

N_GENES, N_DIMS, N_STATES = 300, 4, 5


@pytest.fixture(scope="module")
def world():
    """States with a low-dimensional spread and noise in each gene; 400 cells of each."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(N_GENES, N_DIMS)))[0]
    mean = rng.normal(1, 0.6, size=(N_GENES, N_STATES)) + basis @ rng.normal(0, 6, size=(N_DIMS, N_STATES))
    state = np.repeat(np.arange(N_STATES), 400)
    cells = mean[:, state].T + rng.normal(0, 1.5, (2000, N_DIMS)) @ basis.T + rng.normal(0, 0.3, (2000, N_GENES))
    return {
        "basis": basis,
        "rate": np.exp(mean),
        "genes": np.ones(N_GENES, dtype=bool),
        "centres": mean.T @ basis,
        "mean_logs": mean.astype(np.float32),
        "spread": np.tile((1.5**2 + 0.3**2) * np.eye(N_DIMS), (N_STATES, 1, 1)),
        "noise": 0.3**2,
        "cells": cells,
        "state": state,
    }


def look(world, measured):
    parts = {name: value for name, value in world.items() if name not in ("cells", "state", "basis", "rate")}
    return Frame.of(world["basis"], world["rate"], measured=measured, **parts)


def test_nothing_changes_where_nothing_is_lost(world):
    frame = look(world, np.ones(N_GENES, dtype=bool))
    assert frame.whole
    assert frame.basis is world["basis"]
    where = world["cells"] @ frame.basis
    assert frame.moved(where, world["state"]) is where
    np.testing.assert_array_equal(frame.share, 1)


def test_genes_that_do_not_matter_may_be_lost(world):
    more = world | {"genes": np.append(world["genes"], False)}
    more |= {name: np.vstack([world[name], 0 * world[name][:1]]) for name in ("basis", "rate", "mean_logs")}
    assert look(more, np.arange(N_GENES + 1) < N_GENES).whole


@pytest.mark.parametrize("share", [0.8, 0.5, 0.25])
def test_coordinates_are_predicted_without_bias_and_without_shrinking(world, share):
    measured = np.random.default_rng(1).random(N_GENES) < share
    frame = look(world, measured)
    assert (frame.basis[~measured] == 0).all()
    full = world["cells"] @ world["basis"]
    on_axes = world["cells"] @ frame.basis
    state = frame.nearest(on_axes, np.zeros(2000, np.int32), np.zeros(N_STATES, np.int32))
    assert (state == world["state"]).mean() > 0.9
    guess = frame.moved(on_axes, world["state"])
    zeros = (world["cells"] * measured) @ world["basis"]
    spread = np.sqrt(np.trace(world["spread"][0]))
    for s in range(N_STATES):
        mine = world["state"] == s
        assert np.linalg.norm((guess - full)[mine].mean(axis=0)) < 0.1 * spread
        assert np.linalg.norm((zeros - full)[mine].mean(axis=0)) > 0.3 * spread
        assert guess[mine].var(axis=0).sum() == pytest.approx(full[mine].var(axis=0).sum(), rel=0.15)
    assert np.sqrt(((guess - full) ** 2).sum(axis=1).mean()) < 0.35 * spread


def test_the_share_of_measured_counts_is_that_of_the_rates(world):
    measured = np.arange(N_GENES) % 3 > 0
    frame = look(world, measured)
    np.testing.assert_allclose(frame.share, world["rate"][measured].sum(axis=0) / world["rate"].sum(axis=0))


def test_a_state_of_which_nothing_was_measured_counts_its_cells_whole(world):
    rate = world["rate"].copy()
    rate[150:, 3] = 0
    frame = look(world | {"rate": rate}, np.arange(N_GENES) >= 150)
    assert frame.share[3] == 1
    assert (np.delete(frame.share, 3) < 1).all()


def test_cells_without_a_state_are_moved_by_the_mean_offset(world):
    frame = look(world, np.arange(N_GENES) % 2 == 0)
    moved = frame.moved(np.zeros((1, N_DIMS)), np.array([-1]))
    np.testing.assert_allclose(moved[0], frame.offset.mean(axis=0))


def test_the_nearest_centre_is_of_the_same_level():
    centres = np.array([[0.0], [1.0], [5.0]])
    level = np.array([0, 1, 0], dtype=np.int32)
    found = nearest_of(np.array([[0.9], [0.9], [4.0], [0.0]]), np.array([0, 1, 0, 2], np.int32), centres, level)
    assert found.tolist() == [0, 1, 2, -1]


def test_the_noise_of_lost_genes_is_made_up_for_by_louder_ones(world):
    """Noise that is even over genes, on axes that are half measured, grows as its draws do."""
    np.testing.assert_array_equal(look(world, np.ones(N_GENES, dtype=bool)).noise, 1)
    rng = np.random.default_rng(2)
    frame, noise = look(world, rng.random(N_GENES) < 0.5), rng.normal(size=(20_000, N_GENES))
    found = (noise @ frame.basis).var(axis=0) / (noise @ world["basis"]).var(axis=0)
    assert frame.noise.min() > 1.2
    np.testing.assert_allclose(frame.noise, found, rtol=0.1)
