"""Names under which the truth of a simulation is kept beside its counts."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unbatch._types import FloatArray
from unbatch.simulation.scheme import Scheme, draw_states


@dataclass(frozen=True)
class Truth:
    """The slots of the AnnData object that `simulate` returns, without the counts."""

    obs: pd.DataFrame
    var: pd.DataFrame
    varm: dict[str, FloatArray]
    obsm: dict[str, FloatArray]
    uns: dict[str, Any]


def make_truth(scheme: Scheme) -> Truth:
    """Describe all cells and genes of a scheme."""
    options = scheme.options
    chunks = [draw_states(scheme, chunk)[0] for chunk in range(scheme.n_chunks)]
    batches = _names("batch", options.n_batches)
    groups = _names("type", options.n_types) if options.n_types else _names("factor", options.n_factors)
    obs = pd.DataFrame(
        {
            "batch": pd.Categorical.from_codes(np.concatenate([c.batch for c in chunks]), list(batches)),
            "cell_type": pd.Categorical.from_codes(np.concatenate([c.group for c in chunks]), list(groups)),
            "size_factor_true": np.concatenate([c.size_factor for c in chunks]),
        },
        index=_names("cell", options.n_cells),
    )
    return Truth(
        obs=obs,
        var=pd.DataFrame(index=_names("gene", options.n_genes)),
        varm={"log_delta_true": scheme.log_delta, "beta_true": scheme.beta},
        obsm={"theta_true": np.concatenate([c.theta for c in chunks])},
        uns={"simulation": _record(scheme, batches, groups)},
    )


def _record(scheme: Scheme, batches: NDArray[np.str_], groups: NDArray[np.str_]) -> dict[str, Any]:
    options = scheme.options
    programmes = list(_names("type", options.n_types)) + list(_names("factor", options.n_factors))
    parameters = {field.name: getattr(options, field.name) for field in fields(options)}
    record: dict[str, Any] = {
        "seed": scheme.seed,
        "parameters": {name: _plain(value) for name, value in parameters.items() if value is not None},
        "batches": np.array(batches, dtype=object),
        "cell_types": np.array(groups, dtype=object),
        "programmes": np.array(programmes, dtype=object),
        "composition": scheme.composition if options.n_types else scheme.dominance,
    }
    return record


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Give the form that h5ad and zarr can hold: pairs for a mapping, an array for a sequence."""
    if isinstance(value, int | float | np.integer | np.floating):
        return value
    if hasattr(value, "items"):
        return np.array(sorted(value.items()), dtype=np.int64).reshape(-1, 2)
    return np.asarray(value, dtype=np.float64)


def _names(kind: str, n: int) -> NDArray[Any]:
    """`batch_1`, `batch_2`, ...; padded with zeros so that they sort in order."""
    width = len(str(n))
    return np.array([f"{kind}_{i:0{width}d}" for i in range(1, n + 1)], dtype=object)
