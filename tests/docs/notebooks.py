"""The notebooks among the documentation pages, run as a reader would run them: in a kernel, in an empty folder."""

import os
import re
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

DOCS = Path(__file__).parents[2] / "docs"
_CELL = re.compile(
    r"^```\{code-cell\}[^\n]*\n(?:---\n.*?^---\n|(?::[^\n]*\n)+)?(.*?)^```$", flags=re.DOTALL | re.MULTILINE
)


def code_cells(page):
    """The code of a page, cell by cell, without the options of the cells."""
    return [found.group(1).rstrip("\n") for found in _CELL.finditer((DOCS / page).read_text())]


def run(page, folder, *, checks):
    """Run a page's cells and then those of `checks` in one kernel; a cell that raises, raises here."""
    cells = [nbformat.v4.new_code_cell(code) for code in [*code_cells(page), *checks]]
    notebook = nbformat.v4.new_notebook(cells=cells)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MPLBACKEND": "agg",
    }
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    client.execute(env=environment)
    return notebook
