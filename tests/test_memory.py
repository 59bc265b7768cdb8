"""What the system does not tell of memory is said to be unknown, and nothing fails over it."""

import math
import os
import sys

import numpy as np

from unbatch._memory import peak_bytes, physical_bytes


def test_the_peak_grows_with_what_is_taken_and_fits_in_the_machine():
    before = peak_bytes()
    taken = np.ones(2**25)
    assert taken.nbytes <= peak_bytes() <= physical_bytes()
    assert peak_bytes() >= before


def test_the_peak_is_not_known_where_there_is_no_such_count(monkeypatch):
    monkeypatch.setitem(sys.modules, "resource", None)
    assert math.isnan(peak_bytes())


def test_a_system_without_such_names_has_no_known_size(monkeypatch):
    def refuse(_name):
        raise ValueError("unrecognized configuration name")

    monkeypatch.setattr(os, "sysconf", refuse)
    assert physical_bytes() == math.inf
