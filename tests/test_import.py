"""Importing the package costs nothing, sets nothing up, and gives every public name when it is asked for."""

import subprocess
import sys

import pytest

import unbatch as ub

HEAVY = ("matplotlib", "openTSNE", "typer", "faiss", "anndata", "pandas", "scipy", "numba", "sklearn", "rich")


def python(code):
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_importing_loads_nothing_heavy_and_says_nothing():
    code = f"import sys, unbatch; print([name for name in {HEAVY} if name in sys.modules])"
    assert python(code) == "[]\n"


def test_the_python_surface_loads_no_plots_and_no_command_line():
    code = (
        "import sys, unbatch as ub; ub.BatchModel; ub.tl; ub.pp; ub.get; ub.datasets; ub.simulate; "
        "print([name for name in ('matplotlib', 'openTSNE', 'typer', 'faiss', 'rich') if name in sys.modules])"
    )
    assert python(code) == "[]\n"


def test_a_fit_loads_no_library_that_it_has_no_need_of():
    code = (
        "import sys, warnings, unbatch as ub; warnings.simplefilter('ignore'); "
        "adata = ub.simulate(n_cells=300, n_genes=60, seed=0); ub.tl.batch_effects(adata, batch_key='batch'); "
        "print([name for name in ('sklearn', 'scipy.stats', 'matplotlib', 'typer') if name in sys.modules])"
    )
    assert python(code) == "[]\n"


def test_the_command_line_tells_how_it_is_used_without_loading_what_computes():
    code = (
        "import sys; from typer.testing import CliRunner; from unbatch.cli import app; "
        "assert CliRunner().invoke(app, ['fit', '--help']).exit_code == 0; "
        "print([name for name in ('anndata', 'pandas', 'scipy', 'numba', 'h5py') if name in sys.modules])"
    )
    assert python(code) == "[]\n"


@pytest.mark.parametrize("rest", [["fit", "-o", "x.h5ad"], ["adjust", "--model", "x.h5ad", "-o", "y.h5ad"]])
def test_an_input_that_is_not_there_is_refused_without_loading_what_computes(rest):
    code = (
        "import sys; from typer.testing import CliRunner; from unbatch.cli import app; "
        f"done = CliRunner().invoke(app, {[*rest, 'nothing.h5ad']}); "
        "assert done.exit_code == 2; assert 'nothing.h5ad does not exist' in done.output; "
        "print([name for name in ('anndata', 'pandas', 'scipy', 'numba', 'h5py') if name in sys.modules])"
    )
    assert python(code) == "[]\n"


def test_importing_adds_no_log_handler_and_no_warning_filter():
    code = (
        "import logging, warnings; before = list(warnings.filters); import unbatch; "
        "print(logging.getLogger().handlers, logging.getLogger('unbatch').handlers, before == warnings.filters)"
    )
    assert python(code) == "[] [] True\n"


@pytest.mark.parametrize("name", ub.__all__)
def test_every_public_name_is_there_and_documented(name):
    value = getattr(ub, name)
    assert name in dir(ub)
    assert value.__doc__


def test_the_version_is_that_of_the_package():
    from importlib.metadata import version

    assert ub.__version__ == version("unbatch")


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = ub.nonsense
