"""Batches that share levels, directly or through others, form a group; others cannot be compared."""

import numpy as np
import pytest

from unbatch.core.confounding import cross


def crossing(table, *, active=None, min_cells=1):
    """Cells laid out so that their table is the given one."""
    table = np.asarray(table)
    batch, level = np.indices(table.shape)
    codes = [np.repeat(axis.ravel(), table.ravel()).astype(np.int32) for axis in (batch, level)]
    on = np.ones(len(table), dtype=bool) if active is None else np.array(active)
    n_batches, n_levels = table.shape
    return cross(*codes, n_batches=n_batches, n_levels=n_levels, active=on, min_cells=min_cells)


@pytest.mark.parametrize(
    ("table", "groups"),
    [
        ([[5, 5], [5, 5]], [0, 0]),
        ([[5, 0], [0, 5]], [0, 1]),
        ([[5, 0], [5, 5], [0, 5]], [0, 0, 0]),  # the middle one links the others
        ([[0, 5, 0], [5, 0, 0], [0, 5, 0], [5, 0, 0], [0, 0, 5]], [0, 1, 0, 1, 2]),
        ([[5, 0, 0, 0], [5, 5, 0, 0], [0, 5, 5, 0], [0, 0, 5, 5], [0, 0, 0, 5]], [0] * 5),
    ],
)
def test_groups_are_the_batches_that_a_chain_of_levels_joins(table, groups):
    found = crossing(table)
    np.testing.assert_array_equal(found.table, table)
    assert found.group.tolist() == groups
    assert found.n_groups == max(groups) + 1


def test_agrees_with_a_search_from_batch_to_batch():
    rng = np.random.default_rng(0)
    for _ in range(20):
        table = (rng.random((7, 6)) < 0.2) * 3
        reach = (table @ table.T > 0) | np.eye(7, dtype=bool)
        for _ in range(7):
            reach = reach @ reach
        group = crossing(table).group
        np.testing.assert_array_equal(group[:, None] == group, reach)


def test_a_few_stray_cells_join_nothing():
    table = [[50, 1], [0, 50]]
    assert crossing(table, min_cells=1).n_groups == 1
    assert crossing(table, min_cells=2).n_groups == 2


def test_batches_that_take_no_part_join_nothing():
    found = crossing([[5, 0], [5, 5], [0, 5]], active=[True, False, True])
    assert found.group.tolist() == [0, -1, 1]
    assert found.n_groups == 2


def test_one_level_each_is_told_from_less():
    assert crossing([[5, 0], [0, 5], [5, 0]]).one_level_each
    assert crossing([[5, 1], [0, 5]], min_cells=2).one_level_each
    assert crossing([[5, 5], [0, 5], [0, 0]], active=[False, True, False]).one_level_each
    assert not crossing([[5, 5], [0, 5]]).one_level_each
