"""The same on a Dask cluster of processes as in this one: same bits and same errors, whatever happens to workers."""

import os
import re
import signal
import subprocess
import sys
import warnings
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import anndata as ad
import numpy as np
import pytest
from distributed import Client, LocalCluster
from scipy import sparse

import unbatch as ub
from unbatch import InputError, InputWarning
from unbatch.core.exact_margins import ExactMargins
from unbatch.io import cluster as cluster_module
from unbatch.io.batches import read_batches
from unbatch.io.cluster import DaskDriver, connect
from unbatch.io.door import DoorCheck
from unbatch.io.known import PerCell, Shared
from unbatch.io.places import Hdf5File
from unbatch.io.portable import portable
from unbatch.io.reduce import LocalDriver, reduce_blocks
from unbatch.io.source import open_counts

from .conftest import write_zarr

PER_CELL = ("embedding", "sample", "overlap")
PER_GENE = ("log_delta", "se", "mu", "measured", "basis", "support")


@pytest.fixture(scope="module")
def cluster():
    # a free port for the dashboard: each process that runs tests has a cluster of its own
    options = {"threads_per_worker": 1, "processes": True, "dashboard_address": ":0", "memory_limit": None}
    with LocalCluster(n_workers=2, **options) as started:
        yield started


@pytest.fixture
def client(cluster):
    with Client(cluster, set_as_default=False) as connected:
        connected.wait_for_workers(2)
        yield connected


@pytest.fixture(scope="module")
def threads():
    """A cluster inside of this process, whose workers know the classes of this file."""
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0") as started,
        Client(started, set_as_default=False) as connected,
    ):
        yield connected


@pytest.fixture(scope="module")
def toy():
    return ub.simulate(n_cells=400, n_genes=80, n_batches=3, n_types=3, median_depth=800, seed=3)


@pytest.fixture(scope="module")
def path(toy, tmp_path_factory):
    path = tmp_path_factory.mktemp("toy") / "toy.h5ad"
    toy.write_h5ad(path, compression="gzip")
    return path


@pytest.fixture(scope="module")
def here(path):
    """What this process finds in the toy."""
    return fitted(path)


@pytest.fixture
def many_blocks(monkeypatch):
    """Blocks of some tens of cells."""
    monkeypatch.setattr("unbatch.io.matrix_source.BLOCK_BYTES", 2**13)


def fitted(data, *, method="matched", batch="batch", driver=None, progress=None):
    source = open_counts(data)
    batches = read_batches(source, batch)
    return ub.BatchModel(method=method).fit_source(source, batches, driver=driver, progress=progress).result


def assert_same(found, expected):
    for name in (*PER_GENE, *PER_CELL):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    assert found.trace.keys() == expected.trace.keys()
    for name, values in found.trace.items():
        np.testing.assert_array_equal(values, expected.trace[name], err_msg=name)


class Watched:
    """Progress that calls a function at each step and notes the cells of each stage."""

    def __init__(self, then=lambda: None):
        self.then, self.steps = then, {}

    @contextmanager
    def stage(self, name, *, total=None):  # noqa: ARG002
        steps = self.steps.setdefault(name, [])

        def advance(units):
            steps.append(units)
            self.then()

        yield advance


@pytest.mark.usefixtures("many_blocks")
@pytest.mark.parametrize("method", ["matched", ub.MatchedOptions(sketch_size=200), "concept"], ids=str)
def test_a_fit_has_the_bits_of_this_process(path, here, client, method):
    watched = Watched()
    found = fitted(path, method=method, driver=DaskDriver(client), progress=watched)
    assert_same(found, here if method == "matched" else fitted(path, method=method))
    second = "summing counts" if method == "concept" else "placing cells"
    for name in ("reading counts", second):
        assert len(watched.steps[name]) > 10
        assert sum(watched.steps[name]) == 400


@pytest.mark.usefixtures("many_blocks")
def test_a_fit_of_more_batches_than_are_summed_by_state_has_the_bits_of_this_process(path, client, monkeypatch):
    for place in ("core.state_table", "core.rounds", "methods.matched"):
        monkeypatch.setattr(f"unbatch.{place}.MOST_DENSE", 1000)
    monkeypatch.setattr("unbatch.methods.matched._FEWEST_SAMPLED", 2)
    seen, merge = [], ExactMargins.merge
    monkeypatch.setattr(ExactMargins, "merge", lambda self, other: seen.append(other) or merge(self, other))
    how = ub.MatchedOptions(sketch_size=200)
    found = fitted(path, method=how, driver=DaskDriver(client))
    assert seen
    assert_same(found, fitted(path, method=how))


@pytest.mark.usefixtures("many_blocks")
def test_a_fit_of_multiplied_counts_has_the_bits_of_what_was_counted(toy, here, client, tmp_path):
    multiplied = toy.copy()
    multiplied.X = sparse.csr_matrix(toy.X.toarray() * np.where(toy.obs["batch"] == "batch_2", 7, 1)[:, None])
    multiplied.write_h5ad(tmp_path / "in.h5ad")
    watched = Watched()
    with pytest.warns(InputWarning, match=r"'batch_2' are multiples of 7: they were multiplied"):
        assert_same(fitted(tmp_path / "in.h5ad", driver=DaskDriver(client), progress=watched), here)
    assert sum(watched.steps["looking for a common factor"]) == 400


@pytest.mark.usefixtures("many_blocks")
def test_a_worker_killed_in_the_middle_of_the_first_pass_changes_nothing(path, here, client, monkeypatch):
    monkeypatch.setattr(cluster_module, "_ARITY", 2)
    pids = client.run(os.getpid)

    def kill():
        if pids:
            os.kill(pids.popitem()[1], signal.SIGKILL)
            pids.clear()

    watched = Watched(kill)
    before = set(client.run(os.getpid).values())
    found = fitted(path, driver=DaskDriver(client), progress=watched)
    assert not pids
    assert len(watched.steps["reading counts"]) > 10
    assert_same(found, here)
    client.wait_for_workers(2)
    assert len(before & set(client.run(os.getpid).values())) == 1


@pytest.mark.usefixtures("many_blocks")
def test_two_inputs_of_different_kinds_and_genes(toy, tmp_path, client):
    toy[:200].write_h5ad(tmp_path / "one.h5ad")
    write_zarr(toy[200:, 10:][:, ::-1].copy(), tmp_path / "two.zarr", zarr_format=3)
    paths = {"one": tmp_path / "one.h5ad", "two": tmp_path / "two.zarr"}
    for batch in (None, "batch"):
        found = fitted(paths, batch=batch, driver=DaskDriver(client))
        assert_same(found, fitted(paths, batch=batch))


@pytest.mark.usefixtures("many_blocks")
def test_the_first_input_error_in_order_is_raised_as_it_reads_here(toy, tmp_path, client):
    broken = toy.copy()
    broken.layers["counts"] = toy.X
    counts = toy.X.toarray()
    counts[[150, 320, 390], 5] = 0.5
    broken.X = sparse.csr_matrix(counts)
    broken.write_h5ad(tmp_path / "broken.h5ad")
    source = open_counts(tmp_path / "broken.h5ad")
    with pytest.raises(InputError) as here:
        reduce_blocks(source, DoorCheck(source))
    with pytest.raises(InputError) as there:
        reduce_blocks(source, DoorCheck(source), driver=DaskDriver(client))
    assert str(there.value) == str(here.value)
    assert "in cell 'cell_151', gene 'gene_06'. layer='counts' looks like counts" in str(there.value)


def test_files_that_only_this_process_can_read(path, client, monkeypatch):
    def elsewhere(source):
        there = portable(source)
        return replace(there, reader=replace(there.reader, place=Hdf5File(path.with_name("elsewhere.h5ad"))))

    monkeypatch.setattr(cluster_module, "portable", elsewhere)
    source = open_counts(path)
    with pytest.raises(InputError, match=r"failed where this process does not: X of .* does not exist.* same path"):
        reduce_blocks(source, DoorCheck(source), driver=DaskDriver(client))


class Deadly:
    """Ends the process that unpickles it."""

    def __reduce__(self):
        return signal.raise_signal, (signal.SIGKILL,)


def test_workers_that_die_again_and_again(path, cluster, client, monkeypatch):
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    with pytest.raises(InputError, match=r"workers of the Dask cluster died again and again, .* give them more"):
        reduce_blocks(open_counts(path), Deadly(), driver=DaskDriver(client))


def test_counts_that_workers_cannot_read_are_refused(toy, client):
    for data in (toy, {"one": toy[:200], "two": toy[200:]}):
        source = open_counts(data)
        with pytest.raises(InputError, match=r"X of the AnnData cannot be read by other processes: .* give its path"):
            reduce_blocks(source, DoorCheck(source), driver=DaskDriver(client))


def test_from_python_with_a_client(toy, path, client):
    backed = ad.read_h5ad(path, backed="r")
    ub.tl.batch_effects(backed, batch_key="batch", client=client)
    ub.tl.batch_effects(toy, batch_key="batch")
    np.testing.assert_array_equal(backed.varm["batch_effects"], toy.varm["batch_effects"])
    np.testing.assert_array_equal(backed.obsm["X_unbatch"], toy.obsm["X_unbatch"])
    backed.file.close()


def test_what_is_no_client():
    with pytest.raises(InputError, match=r"client is str: give a distributed\.Client"):
        DaskDriver("tcp://localhost:8786")
    with pytest.raises(InputError, match="the Dask client is asynchronous"):
        DaskDriver(SimpleNamespace(submit=None, scheduler_info=None, asynchronous=True))


def run_fit(path, output, *options):
    command = [sys.executable, "-c", "from unbatch.__main__ import main; main()", "fit", str(path), "-o", str(output)]
    command += ["-b", "batch", *options]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_from_the_command_line(path, here, cluster, tmp_path):
    done = run_fit(path, tmp_path / "there.h5ad", "--dask", cluster.scheduler_address)
    assert done.returncode == 0, done.stderr
    assert "Fitted 400 cells" in done.stdout
    found = ub.BatchModel.load(tmp_path / "there.h5ad").result
    assert_same(found, here)


def test_a_scheduler_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(cluster_module, "_PATIENCE", 0.2)
    for address in ("tcp://127.0.0.1:9", "127.0.0.1:9"):
        with pytest.raises(InputError, match=f"no Dask scheduler answers at {address}: give the address"):
            connect(address).__enter__()
    with connect(None) as driver:
        assert driver == LocalDriver()


NO_ADDRESSES = (
    "nonsense",
    "nonsense://x:1",
    "tcp://",
    "",
    " ",
    "tcp://host",
    "tcp://host:port",
    "tcp://a:b:1",
    "inproc://a/b",
)


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(InputError, match=f"'{address}' is no address of a Dask scheduler: give the one"):
        connect(address).__enter__()


def test_addresses_that_cannot_be_opened_end_in_one_line_each():
    """Also at the end of the program, where a client that was made by half would have its say."""
    addresses = ["tls://127.0.0.1:1", "ucx://127.0.0.1:1", "tcp://127.0.0.1:1/x"]
    done = subprocess.run(
        [sys.executable, "-c", CONNECT, *addresses], check=False, capture_output=True, text=True, timeout=60
    )
    for line, address in zip(done.stderr.splitlines(), addresses, strict=True):
        assert address in line
    assert done.returncode == 2


CONNECT = """
import sys
from unbatch.io.cluster import connect
refused = 0
for address in sys.argv[1:]:
    try:
        connect(address).__enter__()
    except ValueError as error:
        refused += 1
        print(error, file=sys.stderr)
sys.exit(2 if refused == 3 else 1)
"""


class Sums:
    """Accumulator that warns, and knows something of each cell and something large."""

    def __init__(self, n_cells):
        self.numbers, self.large = PerCell(np.arange(n_cells)), Shared(np.ones(2**21))
        self.total, self.thread_warned = 0, 0

    def add(self, block):
        np.testing.assert_array_equal(self.numbers.of(block.start, block.stop), range(block.start, block.stop))
        self.total += int(block.counts.sum() * self.large.value[0])
        warnings.warn("said twice", InputWarning, stacklevel=1)
        if block.start == 0:
            warnings.warn("said of the first block", InputWarning, stacklevel=1)

    def merge(self, other):
        self.total += other.total


def test_warnings_come_back_each_once_and_large_plans_are_no_reason_for_one(path, threads, toy):
    with pytest.warns(InputWarning) as told:
        sums = reduce_blocks(open_counts(path), Sums(400), block_size=9, driver=DaskDriver(threads))
    assert sorted(str(one.message) for one in told) == ["said of the first block", "said twice"]
    assert sums.total == toy.X.sum()


def test_other_errors_come_as_they_are(path, threads):
    class Local:
        """Nobody else can unpickle it."""

    with pytest.raises((AttributeError, TypeError), match="Local"):
        reduce_blocks(open_counts(path), Local(), driver=DaskDriver(threads))

    class_of_error = ZeroDivisionError
    with pytest.raises(class_of_error):
        reduce_blocks(open_counts(path), Broken(), driver=DaskDriver(threads))


class Broken:
    def add(self, block):
        raise ZeroDivisionError(block.start)


@pytest.mark.parametrize(
    ("theirs", "message"), [("0.0.1", "has unbatch 0.0.1, this process "), (None, "has no unbatch")]
)
def test_workers_must_have_this_version(path, threads, monkeypatch, theirs, message):
    found = {"tcp://there": theirs or ImportError("no module")}
    monkeypatch.setattr(threads, "run", lambda *_, **__: found)
    source = open_counts(path)
    with pytest.raises(InputError, match=re.escape(f"the worker tcp://there {message}")):
        reduce_blocks(source, DoorCheck(source), driver=DaskDriver(threads))


def test_a_cluster_without_workers_is_told(path, threads, monkeypatch):
    monkeypatch.setattr(threads, "run", lambda *_, **__: {})
    source = open_counts(path)
    with pytest.warns(InputWarning, match="has no workers yet: waiting for one"):
        reduce_blocks(source, DoorCheck(source), driver=DaskDriver(threads))


def test_ranges_are_whole_blocks_and_enough_for_all_threads():
    bounds = [(start, start + 10) for start in range(0, 1000, 10)]
    for n_threads in (0, 1, 2, 50):
        ranges = cluster_module._ranges(bounds, n_threads=n_threads)
        assert [ranges[0][0], ranges[-1][1]] == [0, 1000]
        assert [stop for _, stop in ranges[:-1]] == [start for start, _ in ranges[1:]]
        assert len(ranges) >= min(len(bounds), 8 * n_threads)
        assert max(stop - start for start, stop in ranges) <= 320
