"""Input that is odd but valid is fitted, adjusted, mapped, factorised and summed, without a NaN in any output."""

import functools

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

import unbatch as ub

from .conftest import nan_in, nan_places
from .ills_of_labels import ODD_LABELS

N_CELLS, N_GENES = 120, 20


def _adata(sizes=(60, 60), n_genes=N_GENES):
    """Cells of three types, in batches of the given sizes."""
    rng = np.random.default_rng(3)
    adata = ub.simulate(n_cells=sum(sizes), n_genes=n_genes, n_types=3, median_depth=200, log_delta_sd=0.3, seed=3)
    labels = np.repeat([f"b{batch:03d}" for batch in range(len(sizes))], sizes)
    adata.obs["batch"] = rng.permutation(labels)
    return adata


def _of_dtype(dtype):
    adata = _adata()
    adata.X = sparse.csr_matrix(adata.X.toarray().clip(0, _most(dtype)).astype(dtype))
    return adata


def _most(dtype):
    return 1 if dtype == "bool" else 100


def _changed(change, **options):
    adata = _adata(**options)
    counts = adata.X.toarray()
    change(counts, (adata.obs["batch"] == "b000").to_numpy())
    adata.X = sparse.csr_matrix(counts)
    return adata


def _single_counts(counts, _):
    counts[:] = 0
    counts[np.arange(len(counts)), np.arange(len(counts)) % N_GENES] = 1


def _genes_of_one_batch(counts, first):
    counts[np.ix_(first, range(6))] = 0


def _apart(counts, first):
    counts[np.ix_(first, range(10))] = 0
    counts[np.ix_(~first, range(10, N_GENES))] = 0


def _million(counts, _):
    counts[:5] = 10**6


def _all_alike(counts, _):
    counts[:] = 3


def _indices_of_64_bits():
    adata = _of_dtype("float32")
    adata.X.indices, adata.X.indptr = adata.X.indices.astype(np.int64), adata.X.indptr.astype(np.int64)
    return adata


def _one_gene():
    return _adata(n_genes=2)[:, :1].copy()


def _genes_of_one_batch_and_names_made_unique():
    adata = _changed(_genes_of_one_batch)
    adata.var_names = ["A", "A", "A", *adata.var_names[3:]]
    adata.var_names_make_unique()
    return adata


STORED = {
    **{f"of-{dtype}": lambda dtype=dtype: _of_dtype(dtype) for dtype in ("float64", "int8", "uint16", "int64", "bool")},
    "indices-of-64-bits": _indices_of_64_bits,
}


def _files_stored_in_unlike_ways():
    return [make()[place :: len(STORED)].copy() for place, make in enumerate(STORED.values())]


ODD = {
    "batches-of-1-2-5-10-beside-500": lambda: _adata((1, 2, 5, 10, 500)),
    "two-batches-of-5": lambda: _adata((5, 5)),
    "two-batches-of-2": lambda: _adata((2, 2)),
    "200-batches": lambda: _adata((1,) * 100 + (3,) * 100),
    "cells-of-one-count": lambda: _changed(_single_counts),
    "genes-of-one-batch-and-names-made-unique": _genes_of_one_batch_and_names_made_unique,
    "no-gene-in-both-batches": lambda: _changed(_apart),
    "counts-of-a-million": lambda: _changed(_million),
    "all-counts-alike": lambda: _changed(_all_alike),
    "one-gene": _one_gene,
    "files-stored-in-unlike-ways": _files_stored_in_unlike_ways,
}


NO_PROGRAMMES = frozenset({"two-batches-of-2", "all-counts-alike", "one-gene"})
"""Too few cells, or cells too much alike, for two groups that could tell two programmes apart."""


@pytest.mark.filterwarnings("ignore::unbatch._check.InputWarning")
@pytest.mark.parametrize("method", ["matched", "concept"])
@pytest.mark.parametrize("name", ODD)
def test_every_command_takes_it(run, tmp_path, name, method):
    made = ODD[name]()
    inputs = []
    for number, part in enumerate(made if isinstance(made, list) else [made]):
        inputs.append(tmp_path / f"in-{number}.h5ad")
        part.write_h5ad(inputs[-1])
    model = tmp_path / "fit.h5ad"
    done = run("fit", *inputs, "-b", "batch", "--method", method, "-o", model)
    assert done.exit_code == 0, (done.output, done.exception)
    commands = {"adjust": ("--mode", "scale"), "offsets": ("--groupby", "batch")}
    if method == "matched":
        commands |= {"map": (), "adjust": ("--mode", "thin")}
    if method == "matched" and name not in NO_PROGRAMMES:
        commands["factors"] = ("--n-factors", 2)
    for command, own in commands.items():
        output = tmp_path / f"{command}.h5ad"
        done = run(command, *inputs, "--model", model, *own, "-o", output)
        assert done.exit_code == 0, (command, done.output, done.exception)
        assert nan_in(ad.read_h5ad(output)) == []
    assert run("inspect", *inputs, "-b", "batch").exit_code == 0
    fit = ad.read_h5ad(model)
    assert nan_in(fit) == []
    effects, errors = fit.varm["batch_effects"], fit.varm["batch_effects_se"]
    assert np.isfinite(effects).all()
    assert (effects[~np.isfinite(errors)] == 0).all()


@functools.cache
def _of_floats(most):
    """Effects and adjusted counts where the same counts are given as an array of float32."""
    adata = _adata()
    counts, labels = adata.X.toarray().clip(0, most), adata.obs["batch"]
    model = ub.BatchModel().fit(counts, labels)
    return model.result.log_delta, model.adjust(counts, labels).toarray()


@pytest.mark.parametrize("name", STORED)
def test_however_counts_are_stored_effects_and_adjusted_counts_are_the_same(run, tmp_path, name):
    path, model, output = (tmp_path / f"{part}.h5ad" for part in ("in", "fit", "out"))
    STORED[name]().write_h5ad(path)
    for done in (run("fit", path, "-b", "batch", "-o", model), run("adjust", path, "-m", model, "-o", output)):
        assert done.exit_code == 0, (done.output, done.exception)
    effects, adjusted = _of_floats(_most(name.removeprefix("of-")))
    np.testing.assert_array_equal(ad.read_h5ad(model).varm["batch_effects"], effects)
    np.testing.assert_array_equal(ad.read_h5ad(output).X.toarray(), adjusted)


@pytest.mark.filterwarnings("ignore::unbatch._check.InputWarning")
@pytest.mark.parametrize("name", ODD_LABELS)
def test_odd_labels_name_their_batches(run, tmp_path, name):
    make, batches = ODD_LABELS[name]
    path, model = make(tmp_path), tmp_path / "fit.h5ad"
    done = run("fit", path, "-b", "batch", "-o", model)
    assert done.exit_code == 0, (done.output, done.exception)
    fit = ad.read_h5ad(model)
    assert tuple(fit.uns["unbatch"]["batches"]) == batches
    assert nan_in(fit) == []
    done = run("adjust", path, "--model", model, "-o", tmp_path / "out.h5ad")
    assert done.exit_code == 0, (done.output, done.exception)
    done = run("inspect", path, "-b", "batch")
    assert done.exit_code == 0
    assert all(character.isprintable() for character in done.stdout.replace("\n", "")), repr(done.stdout)


@pytest.mark.filterwarnings("ignore::unbatch._check.InputWarning")
def test_ten_cells_beside_a_hundred_thousand_have_an_effect_of_their_own():
    """With a million, see `docs/reliability.md`."""
    cells = ub.simulate(n_cells=1000, n_genes=N_GENES, n_types=3, median_depth=60, seed=3).X.tocsr()
    rows = np.random.default_rng(0).integers(0, 1000, 100_010)
    counts = cells[rows].toarray()
    counts[-10:, :5] *= 5
    labels = np.repeat(["large", "tiny"], [100_000, 10])
    fit = ub.BatchModel(method=ub.MatchedOptions(sketch_size=5000)).fit(sparse.csr_matrix(counts), labels).result
    assert fit.batch_sizes.tolist() == [100_000, 10]
    assert np.isfinite(fit.log_delta).all()
    assert (fit.sample >= 0).all()
    difference = fit.log_delta[:, 1] - fit.log_delta[:, 0]
    assert 0.7 < difference[:5].mean() - difference[5:].mean() < np.log(5) + 0.3  # drawn to none, by what ten cells say
    assert 0.05 < np.median(fit.se) < 0.5
    assert (fit.overlap[-10:] == 1).all()
    verdicts = fit.diagnostics.verdicts.set_index("check")["verdict"] if fit.diagnostics else {}
    assert verdicts["overlap"] != "fine"  # most of the large batch is in states without a cell of the tiny one


def _read_only(matrix):
    for name in ("data", "indices", "indptr"):
        getattr(matrix, name).flags.writeable = False
    return matrix


def _frozen(dense):
    dense.flags.writeable = False
    return dense


def _every_other(dense):
    wide = np.zeros((dense.shape[0] * 2, dense.shape[1] * 2), dtype=dense.dtype)
    wide[::2, ::2] = dense
    return wide[::2, ::2]


ARRAYS = {
    "csr-array": sparse.csr_array,
    "csc-matrix": sparse.csc_matrix,
    "coo-array": sparse.coo_array,
    "lil-matrix": sparse.lil_matrix,
    "bsr-array": sparse.bsr_array,
    "lists": lambda dense: dense.tolist(),
    "read-only-csr": lambda dense: _read_only(sparse.csr_matrix(dense)),
    "read-only-dense": _frozen,
    "fortran": np.asfortranarray,
    "strided": _every_other,
    "backwards": lambda dense: np.ascontiguousarray(dense[::-1, ::-1])[::-1, ::-1],
    "big-endian": lambda dense: dense.astype(">f8"),
    "unsigned-64": lambda dense: dense.astype(np.uint64),
    "float16": lambda dense: dense.clip(0, 100).astype(np.float16),
}


def _dense():
    adata = _adata()
    return adata.X.toarray().clip(0, 100), adata.obs["batch"]


@functools.cache
def _effects_of_dense():
    return ub.BatchModel().fit(*_dense()).result.log_delta


@pytest.mark.parametrize("name", ARRAYS)
def test_every_array_gives_the_same_effects(name):
    counts, labels = _dense()
    given = ARRAYS[name](counts)
    model = ub.BatchModel().fit(given, labels)
    np.testing.assert_array_equal(model.result.log_delta, _effects_of_dense())
    adjusted = model.adjust(ARRAYS[name](counts), labels)
    assert nan_places(adjusted.toarray()) == []
