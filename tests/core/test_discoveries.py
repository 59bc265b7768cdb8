import numpy as np
import pytest
from scipy.stats import false_discovery_control

from unbatch.core.discoveries import q_values


@pytest.mark.parametrize("n_tests", [0, 1, 2, 500])
def test_it_is_what_scipy_gives(n_tests):
    pvalue = np.random.default_rng(0).random(n_tests) ** 3
    pvalue[n_tests // 2 :] = np.round(pvalue[n_tests // 2 :], 1)  # some are alike
    expected = false_discovery_control(pvalue, method="bh") if n_tests else pvalue
    np.testing.assert_allclose(q_values(pvalue), expected, rtol=1e-14)
