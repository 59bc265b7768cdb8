"""What the system does not tell of memory is said to be unknown, and nothing fails over it."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest

from unbatch import _memory
from unbatch._memory import peak_bytes, physical_bytes


def test_the_peak_grows_with_what_is_taken_and_fits_in_the_machine():
    before = peak_bytes()
    taken = np.ones(2**25)
    assert taken.nbytes <= peak_bytes() <= physical_bytes()
    assert peak_bytes() >= before


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system counts both programs as one process")
def test_the_peak_is_not_that_of_the_program_that_started_this_one():
    taken = np.ones(2**26)
    program = [sys.executable, "-c", "from unbatch._memory import peak_bytes; print(peak_bytes())"]
    done = subprocess.run(program, capture_output=True, text=True, check=True)
    assert 0 < float(done.stdout) < taken.nbytes


def test_the_peak_is_the_larger_one_where_only_that_is_told(monkeypatch, tmp_path):
    for status in (tmp_path / "missing", tmp_path / "without"):
        monkeypatch.setattr(_memory, "_STATUS", status)
        assert 10**7 < peak_bytes() <= physical_bytes()
        (tmp_path / "without").write_text("Name:\tpython\n")


def test_the_peak_is_not_known_where_there_is_no_such_count(monkeypatch, tmp_path):
    monkeypatch.setattr(_memory, "_STATUS", tmp_path / "missing")
    monkeypatch.setitem(sys.modules, "resource", None)
    assert math.isnan(peak_bytes())


def test_a_system_without_such_names_has_no_known_size(monkeypatch):
    def refuse(_name):
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "sysconf", refuse)
    assert physical_bytes() == math.inf
