"""Random bits are those of the published generator; draws follow the binomial law."""

import numpy as np
import pytest
from scipy.stats import binom, chisquare, kstest

from unbatch.core.kernels.thinning import binomial, philox, thin

ALL = np.uint64(0xFFFFFFFF)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((0, 0, 0, 0), (0x6627E8D5E169C58D, 0xBC57AC4C9B00DBD8)),
        ((2**64 - 1, 2**32 - 1, 2**32 - 1, 2**64 - 1), (0x408F276D41C83B0E, 0xA20BC7C66D5451FD)),
        ((0x85A308D3243F6A88, 0x13198A2E, 0x03707344, 0x299F31D0A4093822), (0xD16CFE0994FDCCEB, 0x5001E42024126EA1)),
    ],
)
def test_the_generator_gives_the_known_answers_of_its_authors(given, expected):
    """Random123's kat_vectors for philox4x32 with 10 rounds."""
    assert tuple(int(word) for word in philox(*(np.uint64(word) for word in given))) == expected


@pytest.mark.parametrize(
    ("n", "p"),
    [
        (1, 0.3),
        (5, 0.7),
        (30, 0.2),
        (40, 0.5),
        (1000, 0.004),
        (1000, 0.03),
        (1000, 0.97),
        (10**5, 0.4),
        (2**31 - 1, 0.25),
    ],
)
def test_draws_follow_the_binomial_law(n, p):
    drawn = np.array([binomial(n, p, np.uint64(cell), np.uint64(7), np.uint64(3)) for cell in range(8000)])
    assert drawn.min() >= 0
    assert drawn.max() <= n
    # spread each whole number over its step of the distribution function: what comes out is uniform
    below, step = binom.cdf(drawn - 1, n, p), binom.pmf(drawn, n, p)
    uniform = below + step * np.random.default_rng(0).random(len(drawn))
    assert kstest(uniform, "uniform").pvalue > 1e-3


@pytest.mark.parametrize(("n", "p"), [(25, 0.5), (40, 0.3), (300, 0.6)])
def test_half_a_million_draws_have_the_frequencies_of_the_law(n, p):
    """Where many are expected: what is rejected depends on constants, of which no draw alone would tell."""
    n_draws = 500_000
    gene, effect = np.arange(n_draws), np.ones(n_draws)
    drawn, capped = np.zeros(n_draws, dtype=np.int32), np.zeros(n_draws, dtype=bool)
    counts, target = np.full(n_draws, float(n)), np.full(n_draws, p)
    thin(counts, gene, np.array([0, n_draws]), effect, target, 0.0, 0, gene, np.uint64(1), drawn, capped)
    expected = n_draws * binom.pmf(np.arange(n + 1), n, p)
    often = expected > 20
    observed = np.bincount(drawn, minlength=n + 1)
    observed, expected = (np.append(of[often], of[~often].sum()) for of in (observed, expected))
    assert chisquare(observed, expected * n_draws / expected.sum()).pvalue > 1e-4


def test_the_leaf_draws_each_count_by_its_own_cell_gene_and_seed():
    data, indices, indptr = np.array([4.0, 9.0, 30.0, 2.0]), np.array([0, 2, 1, 2]), np.array([0, 2, 4])
    effect, target = np.array([2.0, 1.0, 4.0, 0.5]), np.array([1.0, 1.0, 0.5])
    gene, out, capped = np.array([10, 11, 12]), np.zeros(4, dtype=np.int32), np.zeros(4, dtype=bool)
    thin(data, indices, indptr, effect, target, 0.3, 100, gene, np.uint64(5), out, capped)
    expected = [
        binomial(int(count), max(target[g] / effect[at], 0.3), np.uint64(100 + row), np.uint64(gene[g]), np.uint64(5))
        if target[g] < effect[at]
        else count
        for at, (row, g, count) in enumerate(zip([0, 0, 1, 1], indices, data, strict=True))
    ]
    assert out.tolist() == expected
    assert capped.tolist() == [False, False, True, False]
    assert out[3] == 2  # its effect is the target: nothing is taken
