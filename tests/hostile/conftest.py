"""The command line in this process, a model of the sound input, and the search for NaN."""

import warnings

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from unbatch.cli import app

from .ills import sound_file


@pytest.fixture
def run():
    """Call the command line; give its exit code, standard output and standard error."""

    def call(*arguments):
        with warnings.catch_warnings():
            # as for a user: what numpy remarks on is no error, and must not be needed to stop what is wrong
            warnings.simplefilter("ignore", RuntimeWarning)
            return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return call


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """The fit of the sound input."""
    folder = tmp_path_factory.mktemp("model")
    done = CliRunner().invoke(app, ["fit", str(sound_file(folder)), "-b", "batch", "-o", str(folder / "fit.h5ad")])
    assert done.exit_code == 0, done.output
    return folder / "fit.h5ad"


@pytest.fixture
def arguments(model):
    """What each command is called with."""

    def give(command, path, output):
        key, by = ["-b", "batch"], ["--model", model]
        own = {
            "fit": [*key, "-o", output / "out.h5ad"],
            "inspect": key,
            "adjust": [*by, "-o", output / "out.h5ad"],
            "map": [*by, *key, "-o", output / "out.h5ad"],
            "factors": [*by, "--n-factors", 2, "-o", output / "out.h5ad"],
            "offsets": [*by, "--groupby", "batch", "-o", output / "out.csv"],
        }
        return [command, path, *own[command]]

    return give


def nan_places(value, where=""):
    """Where in a nest of dictionaries, tables and arrays there is a NaN."""
    if isinstance(value, dict):
        return [place for name, inner in value.items() for place in nan_places(inner, f"{where}/{name}")]
    if isinstance(value, pd.DataFrame):
        return [place for name in value for place in nan_places(value[name].to_numpy(), f"{where}/{name}")]
    array = np.asarray(value.data if hasattr(value, "indptr") else value)
    return [where] if array.dtype.kind in "fc" and np.isnan(array).any() else []


def nan_in(adata):
    """Where in an AnnData there is a NaN."""
    parts = {"obs": adata.obs, "var": adata.var, "uns": dict(adata.uns)}
    parts |= {name: dict(getattr(adata, name)) for name in ("obsm", "varm", "layers", "obsp", "varp")}
    return nan_places(parts if adata.X is None else parts | {"X": adata.X})
