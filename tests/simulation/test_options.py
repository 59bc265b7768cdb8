from typing import Any

import numpy as np
import pytest

from unbatch._check import InputError
from unbatch.simulation import SimulationOptions, simulate
from unbatch.simulation.scheme import draw_scheme


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_genes": 1}, r"n_genes=1: a whole number of at least 2"),
        ({"n_cells": 0}, r"n_cells=0: a whole number of at least 1"),
        ({"n_cells": 10.5}, r"n_cells=10.5: a whole number"),
        ({"n_batches": True}, r"n_batches=True: a whole number"),
        ({"n_factors": -1}, r"n_factors=-1: a whole number of at least 0"),
        ({"n_factors": 0}, r"leave nothing to express"),
        ({"log_delta_sd": -0.1}, r"log_delta_sd=-0.1: a finite number of at least 0"),
        ({"log_delta_sd": float("nan")}, r"log_delta_sd=nan"),
        ({"size_factor_sd": float("inf")}, r"size_factor_sd=inf"),
        ({"dispersion": "0.3"}, r"dispersion='0.3': a number from 0 to 100"),
        ({"confounding": 1.5}, r"confounding=1.5: a number from 0 to 1"),
        ({"confounding": 0.5, "n_factors": 1}, r"at least 2 of them, but n_factors=1"),
        ({"median_depth": 0}, r"median_depth=0: a positive finite number"),
        ({"batch_depth": (1.0, 2.0, 3.0)}, r"batch_depth has 3 values for 2 batches"),
        ({"batch_depth": (1.0, -2.0)}, r"batch_depth=-2.0: a positive finite number"),
        ({"batch_proportions": (1.0, 0.0)}, r"batch_proportions=0.0: a positive finite number"),
        ({"composition": 0.5}, r"composition describes cell types, but n_types=0"),
        ({"private_types": {0: 1}}, r"private_types describes cell types, but n_types=0"),
        ({"n_types": 3, "n_factors": 0}, r"variation=0.3 needs programmes"),
        ({"n_types": 3, "composition": 0.0}, r"composition=0.0: a positive finite number"),
        ({"n_types": 3, "composition": [[1, 1, 1]]}, r"shape \(1, 3\), needed \(2, 3\)"),
        ({"n_types": 2, "composition": [[1, -1], [1, 1]]}, r"1 negative or non-finite shares"),
        ({"n_types": 2, "private_types": {2: 0}}, r"type 2 occurs only in batch 0: types run from 0 to 1"),
        ({"n_types": 2, "private_types": {0: 2}}, r"batches from 0 to 1"),
        ({"n_types": 2, "private_types": {0: 0, 1: 0}}, r"batch 1 is left without any cell type"),
        ({"seed": -1}, r"seed is -1: it must be a whole number of 0 or more"),
        ({"seed": 1.5}, r"seed is 1.5: it must be a whole number of 0 or more"),
    ],
)
def test_a_bad_value_is_refused_with_its_cure(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        simulate(**options)


def test_arrays_and_numpy_scalars_are_welcome() -> None:
    options = SimulationOptions(
        n_genes=np.int64(20),
        n_types=2,
        composition=np.array([[1.0, 3.0], [1.0, 0.0]]),
        batch_proportions=np.array([3.0, 1.0]),
        batch_depth=np.array([1.0, 2.0]),
        dispersion=np.float32(0.5),
    )
    scheme = draw_scheme(options, seed=0)
    np.testing.assert_allclose(scheme.proportions, [0.75, 0.25])
    np.testing.assert_allclose(scheme.composition, [[0.25, 0.75], [1.0, 0.0]])
