"""How the documentation is built: `make docs`."""

import os
import sys
from importlib.metadata import version as installed
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory

from sphinx.application import Sphinx

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extensions"))

project = "unbatch"
author = "the unbatch developers"
copyright = author  # noqa: A001 - the name that Sphinx reads
release = version = installed("unbatch")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "command_line"]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

# Notebooks run while the pages are built; one that fails, fails the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_execution_timeout = 300
nb_merge_streams = True
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"  # tqdm, inside umap, asks for a browser's progress bar
os.environ["COLUMNS"] = "100"
SETTINGS = TemporaryDirectory()  # the kernels keep their history there, too
copytree(HERE / "_extensions" / "ipython", SETTINGS.name, dirs_exist_ok=True)
os.environ["IPYTHONDIR"] = SETTINGS.name

autodoc_member_order = "groupwise"
autodoc_typehints = "signature"
autodoc_type_aliases = {"MethodOptions": "MethodOptions"}
napoleon_numpy_docstring = True
napoleon_google_docstring = False
add_module_names = False
default_role = "code"
smartquotes = False  # they would make a dash of the two hyphens of an option

html_theme = "furo"
html_title = f"unbatch {release}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
exclude_patterns = ["_build", "_extensions", "jupyter_execute"]


def spread(_app: Sphinx, _env: object, docnames: list[str]) -> None:
    """Take pages in another order than that of their folders.

    Each process reads a slice of the list, and all notebooks, which take the time, are in two of the folders.
    """
    docnames[:] = [name for first in range(4) for name in docnames[first::4]]


def setup(app: Sphinx) -> None:
    """Share notebooks out to the processes."""
    app.connect("env-before-read-docs", spread)
