"""Blocks of batches are found where there are some, and named by what they share."""

import numpy as np
import pytest

from unbatch.core.diagnostics.blocks import find_blocks


def shares(sides, *, within, between):
    sides = np.asarray(sides)
    found = np.where(sides[:, None] == sides, within, between).astype(float)
    np.fill_diagonal(found, 0.0)
    return found


@pytest.mark.parametrize("sides", [[0, 0, 1, 1], [1, 0, 1, 0, 0, 1, 1]])
def test_planted_blocks_are_found(sides):
    found = find_blocks(shares(sides, within=0.9, between=0.3))
    assert (found.between, found.within) == (0.3, 0.9)
    assert found.ratio == pytest.approx(1 / 3)
    assert np.array_equal(found.first, np.asarray(sides) == sides[0]) or np.array_equal(
        found.first, np.asarray(sides) != sides[0]
    )


def test_what_is_shared_in_one_direction_counts():
    one_way = shares([0, 0, 1, 1], within=0.9, between=0.3)
    one_way[0, 2] = 0.8
    assert find_blocks(one_way).between == 0.8


def test_a_chain_is_parted_where_it_is_weakest():
    chain = np.zeros((5, 5))
    for at, share in enumerate([0.9, 0.4, 0.8, 0.9]):
        chain[at, at + 1] = chain[at + 1, at] = share
    found = find_blocks(chain)
    assert found.first.tolist() in ([True, True, False, False, False], [False, False, True, True, True])
    assert (found.between, found.within) == (0.4, 0.8)


def test_of_several_cuts_that_is_taken_across_which_least_is_shared_of_what_is_shared_within():
    """A block of two, and one of two pairs that share 0.45 of 0.5."""
    found = shares([0, 0, 0, 0, 1, 1], within=0.9, between=0.4)
    found[:4, :4] = shares([0, 0, 1, 1], within=0.5, between=0.45)
    found[4, 5] = found[5, 4] = 0.9
    whole = find_blocks(found)
    assert whole.first.tolist() in ([True] * 4 + [False] * 2, [False] * 4 + [True] * 2)
    assert whole.ratio == pytest.approx(0.4 / 0.5)


def test_nothing_shared_between_blocks_is_the_least():
    assert find_blocks(shares([0, 0, 1, 1], within=0.9, between=0.0)).ratio == 0


def test_one_batch_is_no_block():
    assert find_blocks(shares([0, 0, 1], within=0.9, between=0.1)) is None
    star = shares([0, 0, 0, 0, 1], within=0.2, between=0.1)
    star[0, 1:4] = 0.9
    assert find_blocks(star) is None
