"""A few of the kills whose full number is a command: see `kills`."""

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
CASES = ["fit .h5ad", "adjust .zarr"]


def test_a_killed_command_leaves_nothing_broken():
    program = [sys.executable, HERE / "kills.py", "--times", "2", "--cells", "300", "--genes", "40", "--case", *CASES]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["case"] for one in found] == CASES
    assert all(one["killed"] > 0 and one["broken"] == one["failed"] == 0 for one in found)
