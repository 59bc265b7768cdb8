"""A few fits in a row and at once; see `load` for more of them."""

import json
import os
import subprocess
import sys
from pathlib import Path


def test_fits_leak_nothing_and_do_not_disturb_each_other():
    program = [sys.executable, Path(__file__).parent / "load.py", "--fits", "10", "--cells", "200", "--genes", "40"]
    several = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "2")  # what must be as it was
    done = subprocess.run(program, capture_output=True, text=True, check=False, env=os.environ | several)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert {name: found[name] for name in ("fits", "files", "processes", "threads", "settings")} == {
        "fits": 10,
        "files": 0,
        "processes": 0,
        "threads": 0,
        "settings": 0,
    }
    assert found["growth"] < 0.05
