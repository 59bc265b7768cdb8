import numpy as np

from unbatch.pl import _layout


def test_groups_stay_apart():
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1], 30)
    values = rng.normal(size=(60, 5)) + 30.0 * group[:, None]
    places = _layout.tsne(values, seed=0)
    assert places.shape == (60, 2)
    centres = np.array([places[group == k].mean(axis=0) for k in (0, 1)])
    nearest = np.linalg.norm(places[:, None] - centres, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(nearest, group)


def test_the_seed_fixes_the_map(monkeypatch):
    monkeypatch.setattr(_layout, "ITERATIONS", (20, 20))
    values = np.random.default_rng(2).normal(size=(40, 5))
    np.testing.assert_array_equal(_layout.tsne(values, seed=0), _layout.tsne(values, seed=0))


def test_few_cells_are_laid_out_too(monkeypatch):
    monkeypatch.setattr(_layout, "ITERATIONS", (20, 20))
    assert np.isfinite(_layout.tsne(np.random.default_rng(1).normal(size=(12, 3)), seed=0)).all()
