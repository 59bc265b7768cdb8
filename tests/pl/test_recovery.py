import numpy as np
import pytest

from unbatch import pl
from unbatch.pl._recovery import correlation


def test_recovery_draws_every_gene_truth_across_estimate_up(ax):
    rng = np.random.default_rng(2)
    truth = rng.normal(size=50)
    estimate = truth + 0.1
    assert pl.effect_recovery(estimate, truth, title="batch 1", ax=ax) is ax
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), np.column_stack([truth, estimate]))
    assert ax.get_title() == "batch 1: r = 1.000, RMSE = 0.100"
    assert "true" in ax.get_xlabel()
    assert "estimated" in ax.get_ylabel()
    assert len(ax.lines) == 1


def test_effects_against_the_mean_are_drawn_on_a_log_axis_without_silent_genes(ax):
    rng = np.random.default_rng(3)
    mean = np.exp(rng.normal(size=40))
    mean[:3] = 0
    effect = rng.normal(size=40)
    pl.effect_against_mean(effect, mean, title="batch 2", ax=ax)
    assert ax.get_xscale() == "log"
    np.testing.assert_array_equal(ax.collections[0].get_offsets(), np.column_stack([mean, effect])[3:])
    r = np.corrcoef(np.log(mean[3:]), effect[3:])[0, 1]
    assert ax.get_title() == f"batch 2: r = {r:.3f}"


def test_dots_of_many_genes_are_rasterised(ax):
    values = np.linspace(-1, 1, 3000)
    pl.effect_recovery(values, values, title="many", ax=ax)
    assert ax.collections[0].get_rasterized()


@pytest.mark.parametrize("scale", [1.0, -2.0])
def test_correlation_follows_the_sign_and_is_zero_for_a_constant(scale):
    x = np.arange(5.0)
    assert correlation(x, scale * x) == pytest.approx(np.sign(scale))
    assert correlation(x, np.full(5, scale)) == 0.0
