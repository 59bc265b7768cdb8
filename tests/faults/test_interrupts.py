"""Ctrl-C and the termination signal in the middle of the work; `interrupts` does it at random moments."""

import signal
import time

import pytest

import unbatch as ub

from .interrupts import command
from .kills import names, raw

SOON = 20.0
"""Seconds. On a machine that has nothing else to do, two are promised."""
FIT = ("fit", "in.h5ad", "-b", "batch", "-o", "out.h5ad", "--verbose")
ADJUST = ("adjust", "in.h5ad", "-m", "model.h5ad", "-o", "out.h5ad", "--quiet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("interrupted")
    shape = {"n_genes": 200, "n_batches": 2, "n_types": 2}
    ub.simulate_to_file(path / "in.h5ad", **shape, n_cells=160_000, seed=1)
    small = ub.simulate(**shape, n_cells=1000, seed=1)
    ub.tl.batch_effects(small, batch_key="batch")
    small.write_h5ad(path / "model.h5ad")
    (path / "out.h5ad").write_text("old")
    return path


def _in_a_stage(process):
    """Wait until the first stage has been told of: the counts are being read."""
    assert process.stderr.readline()


def _writing(process):
    """Wait until an output is being written."""
    while not any(name.endswith(".tmp") for name in names(".")):
        assert process.poll() is None  # it has ended without our seeing it write
        time.sleep(0.002)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("arguments", "moment"), [(FIT, _in_a_stage), (ADJUST, _writing)])
def test_a_signal_ends_it_soon_with_one_line_and_nothing_left(folder, monkeypatch, arguments, moment, number):
    monkeypatch.chdir(folder)
    before = {name: raw(folder / name) for name in names(folder)}
    process = command(arguments)
    moment(process)
    process.send_signal(number)
    _, said = process.communicate(timeout=SOON)
    assert process.returncode == 130
    assert said.endswith("Interrupted.\n")
    assert "Traceback" not in said
    assert {name: raw(folder / name) for name in names(folder)} == before
