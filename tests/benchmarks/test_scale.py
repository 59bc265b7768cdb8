"""The scale benchmark: what it measures is what ran, and its ratios are those of its own numbers."""

import re
import subprocess
import sys
from pathlib import Path

import anndata
import numpy as np
import pytest

from scale import accuracy, measure, problem, tables
from unbatch._memory import peak_bytes

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_a_process_is_measured_from_outside() -> None:
    code = "import time; block = bytearray(200_000_000); time.sleep(0.3)"
    usage = measure.run([sys.executable, "-c", code])
    assert usage.seconds > 0.3
    assert usage.cpu_seconds > 0
    assert usage.peak_bytes > 200e6
    assert usage.peak_bytes < max(600e6, peak_bytes() + 300e6)  # a child begins as a copy of its parent


def test_a_command_that_fails_says_how() -> None:
    with pytest.raises(measure.CommandError, match=r"exited with 3:\nno luck"):
        measure.run([sys.executable, "-c", "print('no luck'); raise SystemExit(3)"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where files are kept from one run to the next."""
    return tmp_path_factory.mktemp("scale")


def test_both_files_hold_the_same_counts(folder: Path) -> None:
    files = problem.make(folder, n_cells=200, n_genes=100, n_batches=2, depth=200.0)
    plain, packed = (anndata.read_h5ad(files[name]) for name in ("uncompressed", "gzip"))
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(plain.X, part), getattr(packed.X, part))
    assert plain.obs.equals(packed.obs)
    assert problem.non_zeros(files["gzip"]) == plain.X.nnz
    for how in ([], ["--h5py"]):
        command = [sys.executable, str(BENCHMARKS / "scale" / "floor.py"), str(files["gzip"]), *how]
        floor = subprocess.run(command, capture_output=True, text=True, check=True)
        assert float(floor.stdout) == plain.X.sum()


def test_ratios_are_to_the_bare_reads_of_the_same_file() -> None:
    def row(what: str, storage: str, seconds: float) -> tables.Row:
        return tables.Row(1000, storage, 5, what, measure.Usage(seconds, seconds, 3_000_000_000))

    rows = [row("bare read", "gzip", 2.0), row("bare read", "uncompressed", 1.0), row("fit", "gzip", 5.0)]
    rows.append(row("bare read by h5py", "gzip", 4.0))
    rows.append(tables.Row(1000, "gzip", 5, "scanpy", None, "not installed"))
    text = tables.measured(rows)
    assert "| 1,000 | gzip | fit | 5.0 | 5.0 | 2.50 | 1.25 | 5000 | 3.00 |" in text
    assert "| 1,000 | gzip | scanpy | not installed |" in text


def test_the_sketch_is_compared_with_all_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(accuracy.MODERATE, "n_genes", 200)
    monkeypatch.setattr(accuracy, "SKETCH", 500)
    trial = accuracy.compare(1500, seed=1)
    assert 0.01 < trial.all_rmse < 0.3
    assert trial.sketch_rmse != trial.all_rmse
    assert trial.sketch_rmse == pytest.approx(trial.all_rmse, rel=0.3)


def test_a_run_writes_tables_and_a_plot(tmp_path: Path, folder: Path) -> None:
    page, plot = tmp_path / "page.md", tmp_path / "plot.png"
    sizes = ["--cells", "200", "--genes", "100", "--batches", "2", "--depth", "200"]
    less = ["--storage", "gzip", "--peers-up-to", "0", "--sketch-cells", "0", "--folder", str(folder)]
    subprocess.run(
        [sys.executable, str(BENCHMARKS / "scale.py"), *sizes, *less, "--output", str(page), "--plot", str(plot)],
        check=True,
        capture_output=True,
    )
    text = page.read_text()
    for what in ("bare read", "bare read by h5py", "fit --effects-only", "fit", "adjust"):
        assert len(re.findall(rf"\| 200 \| gzip \| {what} \| [\d.]+ \|", text)) == 1
    assert str(tmp_path) not in text
    assert str(folder) not in text
    assert plot.stat().st_size > 10_000
