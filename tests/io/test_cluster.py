"""The same sums on a Dask cluster of processes as in this one: same bits, same errors, whatever happens to workers."""

import os
import signal
import threading
import warnings

import anndata as ad
import numpy as np
import pytest
from distributed import Client, LocalCluster

from unbatch import InputError, InputWarning
from unbatch.io.cluster import DaskDriver, connect
from unbatch.io.door import DoorCheck
from unbatch.io.known import PerCell, Shared
from unbatch.io.reduce import LocalDriver, Together, reduce_blocks
from unbatch.io.sketch import KeptRows
from unbatch.io.source import open_counts


@pytest.fixture(scope="module")
def client():
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", memory_limit=None
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


def test_x(client, tmp_path):
    rng = np.random.default_rng(1)
    adata = ad.AnnData(rng.poisson(1.0, (200, 30)).astype(np.float32))
    adata.write_h5ad(tmp_path / "a.h5ad")
    source = open_counts(tmp_path / "a.h5ad")
    done = []
    door = reduce_blocks(source, DoorCheck(source), block_size=3, driver=DaskDriver(client), progress=done.append)
    here = reduce_blocks(source, DoorCheck(source), block_size=3)
    assert sum(done) == 200
    print(done)
    np.testing.assert_array_equal(door.finish().counts_per_cell, here.finish().counts_per_cell)
