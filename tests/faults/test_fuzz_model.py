"""A few of the spoilt models whose full number is a command: see `fuzz_model`."""

import json
import subprocess
import sys
from pathlib import Path


def test_a_spoilt_model_is_refused_or_gives_an_answer():
    program = [sys.executable, Path(__file__).parent / "fuzz_model.py", "--runs", "40", "--seconds", "3"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["errors"] == found["crashes"] == found["too much memory"] == 0
    assert found["answers"] > 3
    assert found["refused"] > 10
