"""Costs grow with what they depend on, and are right to a factor of two on fits that were timed."""

import numpy as np
import pytest

from unbatch import ConceptOptions, MatchedOptions
from unbatch.methods.cost import expected_cost


def cost(sizes=(1000, 1000), n_genes=1000, *, options=None, n_nonzero=200_000, pass_seconds=1.0):
    return expected_cost(
        np.array(sizes),
        n_genes,
        options=options or MatchedOptions(),
        n_nonzero=n_nonzero,
        pass_seconds=pass_seconds,
        base_bytes=1e8,
    )


@pytest.mark.parametrize("options", [MatchedOptions(), ConceptOptions()])
def test_a_fit_needs_more_than_the_base(options):
    assert cost(options=options).n_bytes > 1e8
    assert cost(options=options).seconds > 5.0


@pytest.mark.parametrize(
    "more",
    [
        {"sizes": (4000, 4000)},
        {"n_genes": 30_000},
        {"sizes": (250,) * 8},
        {"n_nonzero": 10_000_000},
        {"options": MatchedOptions(max_states=50)},
    ],
)
def test_memory_of_the_default_grows(more):
    assert cost(**more).n_bytes > cost().n_bytes


@pytest.mark.parametrize(
    "more", [{"sizes": (4000, 4000)}, {"n_genes": 30_000}, {"n_dims": 9}, {"sizes": (1000,) * 8}, {"n_neighbors": 50}]
)
def test_memory_of_the_published_method_grows(more):
    chosen = {name: more[name] for name in ("n_dims", "n_neighbors") if name in more}
    others = {name: value for name, value in more.items() if name not in chosen}
    assert cost(**others, options=ConceptOptions(**chosen)).n_bytes > cost(options=ConceptOptions()).n_bytes


def test_time_grows_with_the_square_of_the_cells_by_the_published_method(monkeypatch):
    monkeypatch.setattr(
        "unbatch.methods.cost._seconds_per_comparison", lambda *_: 1e-8
    )  # the machine may be busy in one of the two
    small, large = (cost(sizes=(n, n), options=ConceptOptions()).seconds for n in (20_000, 200_000))
    assert large / small > 20


def test_a_sketch_keeps_the_default_from_growing_with_the_cells_but_for_the_passes():
    small, large = cost(sizes=(25_000, 25_000)), cost(sizes=(10**6, 10**6), n_nonzero=8_000_000)
    assert large.seconds == small.seconds
    assert large.n_bytes < small.n_bytes + 2e9


@pytest.mark.parametrize(
    ("sizes", "n_genes", "seconds"),
    [
        ((1000,) * 5, 300, 5.2),
        ((970,) * 2, 9015, 5.4),
        ((1400,) * 2, 13_488, 7.1),
        ((389,) * 4, 1267, 4.3),
        ((150,) * 2, 2026, 4.1),
        ((250,) * 2, 15_072, 7.6),
        ((195,) * 40, 1000, 24.0),
        ((500,) * 20, 20_000, 17.0),
        ((5000,) * 20, 20_000, 30.0),
        ((500,) * 200, 20_000, 119.0),
        ((100,) * 1000, 20_000, 596.0),
    ],
)
def test_fits_that_were_timed(sizes, n_genes, seconds):
    assert 0.5 < cost(sizes, n_genes, pass_seconds=0.1).seconds / seconds < 2


@pytest.mark.parametrize(("n_batches", "gigabytes"), [(20, 1.3), (200, 2.5), (1000, 6.1)])
def test_memory_of_fits_of_many_batches_that_were_measured(n_batches, gigabytes):
    expected = cost((100_000 // n_batches,) * n_batches, 20_000, n_nonzero=110_000_000).n_bytes
    assert 0.5 < expected / (gigabytes * 1e9) < 2
