"""How the documentation is built: `make docs`."""

from importlib.metadata import version as installed

project = "unbatch"
author = "the unbatch developers"
copyright = author  # noqa: A001 - the name that Sphinx reads
release = version = installed("unbatch")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3

autodoc_member_order = "groupwise"
autodoc_typehints = "signature"
autodoc_type_aliases = {"MethodOptions": "MethodOptions"}
napoleon_numpy_docstring = True
napoleon_google_docstring = False
add_module_names = False
default_role = "code"

html_theme = "furo"
html_title = f"unbatch {release}"
exclude_patterns = ["_build"]
