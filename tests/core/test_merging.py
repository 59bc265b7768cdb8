"""States are merged in the order in which their counts lose least, and never across levels."""

import numpy as np
from scipy import stats

from unbatch.core.merging import merged

ONE_LEVEL = np.zeros(6, dtype=np.int32)


def states(seed=0):
    """Three profiles, each of two states with other numbers of counts."""
    rng = np.random.default_rng(seed)
    profiles = rng.dirichlet(np.ones(20), size=3)
    return np.stack([rng.poisson(n * profiles[s % 3]) for s, n in enumerate((900, 500, 700, 400, 800, 300))], axis=1)


def test_states_of_the_same_profile_go_first():
    groups = merged(states().astype(np.float64), ONE_LEVEL)
    assert list(groups[3]) == [0, 1, 2, 0, 1, 2]


def test_there_is_a_grouping_for_every_number_and_each_joins_two_of_the_one_before():
    groups = merged(states(seed=1).astype(np.float64), ONE_LEVEL)
    assert sorted(groups) == [1, 2, 3, 4, 5, 6]
    for number, group in groups.items():
        assert sorted(set(group)) == list(range(number))
        if number > 1:
            pairs = set(zip(group, groups[number - 1], strict=True))
            assert len(pairs) == number


def test_a_merger_costs_what_the_likelihood_loses():
    counts = states(seed=2).astype(np.float64)
    group = merged(counts, ONE_LEVEL)[5]

    def likelihood(columns):
        return sum(stats.multinomial.logpmf(y, int(y.sum()), y / y.sum()) for y in columns)

    def loss(s, t):  # of the pooled rates, for each of the two as it was seen
        both = (counts[:, s] + counts[:, t]) / (counts[:, s] + counts[:, t]).sum()
        pooled = sum(stats.multinomial.logpmf(counts[:, i], int(counts[:, i].sum()), both) for i in (s, t))
        return likelihood(counts[:, [s, t]].T) - pooled

    pairs = [(s, t) for s in range(6) for t in range(s)]
    first = min(pairs, key=lambda pair: loss(*pair))
    assert group[first[0]] == group[first[1]]


def test_levels_are_never_merged():
    level = np.array([0, 0, 0, 1, 1, 1], dtype=np.int32)
    groups = merged(states().astype(np.float64), level)
    assert sorted(groups) == [2, 3, 4, 5, 6]
    assert not set(groups[2][:3]) & set(groups[2][3:])


def test_states_without_counts_are_merged_too():
    counts = states().astype(np.float64)
    counts[:, 4] = 0
    assert sorted(merged(counts, ONE_LEVEL)) == [1, 2, 3, 4, 5, 6]
