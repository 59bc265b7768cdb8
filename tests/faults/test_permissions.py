"""What may not be read or written is named, by a user who is not root: see `permissions`."""

import json
import subprocess
import sys
from pathlib import Path

SAID = {
    "input": "'in.h5ad' is not readable",
    "input store": "'in.zarr' is not readable",
    "input folder": "Error: locked/in.h5ad may not be read: ask its owner for read permission\n",
    "model": "'model.h5ad' is not readable",
    "output folder of fit": "Error: --output locked/out.h5ad cannot be written: Permission denied (locked)\n",
    "output folder of adjust": "Error: --output locked/out.zarr cannot be written: Permission denied (locked)\n",
    "scratch": "Permission denied",
}


def test_what_is_forbidden_is_named_and_changes_nothing():
    program = [sys.executable, Path(__file__).parent / "permissions.py"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {one["case"]: one for one in map(json.loads, done.stdout.splitlines())}
    assert found.keys() == SAID.keys()
    for name, one in found.items():
        assert one["exit"] == 2, one
        assert SAID[name] in one["said"], one
        assert "Traceback" not in one["said"], one
        assert one["same"], one
