"""``unbatch map``: writes what Python gives, says what was done, refuses with one line and exit code 2."""

import anndata as ad
import h5py
import numpy as np
import pytest

import unbatch as ub

from .conftest import write_mtx, write_tenx_h5


@pytest.fixture(scope="module")
def cells():
    return ub.simulate(
        n_cells=1200, n_genes=300, n_batches=4, n_types=4, composition=3.0, log_delta_sd=0.5, median_depth=900, seed=1
    )


@pytest.fixture(scope="module")
def folder(cells, tmp_path_factory):
    path = tmp_path_factory.mktemp("map")
    batch = cells.obs["batch"].to_numpy()
    cells[batch != "batch_4"].copy().write_h5ad(path / "old.h5ad")
    cells[np.isin(batch, ["batch_1", "batch_4"])].copy().write_h5ad(path / "new.h5ad")
    return path


@pytest.fixture
def fitted(run, folder):
    if not (folder / "fit.h5ad").exists():
        assert run("fit", folder / "old.h5ad", "-b", "batch", "-o", folder / "fit.h5ad").exit_code == 0
    return folder / "fit.h5ad"


def refused(done, *words):
    assert done.exit_code == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in errors[0]


def test_it_writes_what_python_gives_and_says_what_is_next(run, folder, fitted, tmp_path):
    done = run("map", folder / "new.h5ad", "--model", fitted, "--output", tmp_path / "mapped.h5ad")
    assert done.exit_code == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Mapped ")
    assert "1 batch ('batch_1') of the model" in lines[1]
    assert "1 new batch ('batch_4'), with effects relative to the mean over batches" in lines[2]
    assert lines[-2] == f"Wrote {tmp_path / 'mapped.h5ad'}"
    assert lines[-1].startswith("Next: unbatch adjust ")
    expected = ub.BatchModel.load(fitted).map(folder / "new.h5ad").result
    written = ub.BatchModel.load(tmp_path / "mapped.h5ad").result
    for slot in ("log_delta", "se", "embedding", "sample", "overlap"):
        np.testing.assert_array_equal(getattr(written, slot), getattr(expected, slot))
    assert written.mapped_onto == expected.mapped_onto


def test_what_was_mapped_can_be_adjusted(run, folder, fitted, tmp_path):
    run("map", folder / "new.h5ad", "-m", fitted, "-o", tmp_path / "mapped.h5ad")
    done = run("adjust", folder / "new.h5ad", "-m", tmp_path / "mapped.h5ad", "-o", tmp_path / "adjusted.h5ad")
    assert done.exit_code == 0, done.stderr
    adjusted, new = ad.read_h5ad(tmp_path / "adjusted.h5ad"), ad.read_h5ad(folder / "new.h5ad")
    labels = new.obs["batch"].to_numpy()

    def apart(counts):
        rates = [np.asarray(counts[labels == name].mean(axis=0)).ravel() for name in ("batch_1", "batch_4")]
        loud = np.minimum(*rates) > 0.5
        return np.std(np.log(rates[1][loud] / rates[0][loud]))

    assert apart(adjusted.X) < 0.6 * apart(new.X)


def test_the_batch_may_have_another_name(run, folder, fitted, tmp_path):
    new = ad.read_h5ad(folder / "new.h5ad")
    new.obs["donor"] = "d9"
    del new.obs["batch"]
    new.write_h5ad(tmp_path / "in.h5ad")
    refused(run("map", tmp_path / "in.h5ad", "-m", fitted, "-o", tmp_path / "out.h5ad"), "no obs column 'batch'")
    done = run("map", tmp_path / "in.h5ad", "-m", fitted, "-b", "donor", "-o", tmp_path / "out.h5ad")
    assert done.exit_code == 0, done.stderr
    assert ub.BatchModel.load(tmp_path / "out.h5ad").result.batches == ("d9",)


def test_a_model_of_an_older_version_is_refused(run, folder, fitted, tmp_path):
    (tmp_path / "old.h5ad").write_bytes(fitted.read_bytes())
    with h5py.File(tmp_path / "old.h5ad", "a") as file:
        del file["uns/unbatch/landmarks"]
    refused(
        run("map", folder / "new.h5ad", "-m", tmp_path / "old.h5ad", "-o", tmp_path / "out.h5ad"),
        "fit again with this version",
    )
    assert not (tmp_path / "out.h5ad").exists()


def test_a_damaged_model_is_refused(run, folder, fitted, tmp_path):
    (tmp_path / "bad.h5ad").write_bytes(fitted.read_bytes())
    with h5py.File(tmp_path / "bad.h5ad", "a") as file:
        del file["uns/unbatch/landmarks/centres"]
    refused(
        run("map", folder / "new.h5ad", "-m", tmp_path / "bad.h5ad", "-o", tmp_path / "out.h5ad"),
        "uns['unbatch']['landmarks']['centres']",
        "fit again",
    )


def test_wrong_use_is_refused(run, folder, fitted, tmp_path):
    new, out = folder / "new.h5ad", tmp_path / "out.h5ad"
    refused(run("map", new, "-m", tmp_path / "none.h5ad", "-o", out), "there is no file")
    refused(run("map", new, "-m", new, "-o", out), "holds no batch effects")
    refused(run("map", new, "-m", fitted, "-o", new), "is also an input")
    refused(run("map", new, "-m", fitted, "-o", fitted), "is also an input")
    refused(run("map", new, "-m", fitted, "-o", tmp_path / "out.txt"), "must end in .h5ad")
    strange = ad.read_h5ad(new)
    strange.var_names = [f"ENSG{gene}" for gene in range(strange.n_vars)]
    strange.write_h5ad(tmp_path / "in.h5ad")
    refused(run("map", tmp_path / "in.h5ad", "-m", fitted, "-o", out), "no gene", "known to the model")
    strange = ad.read_h5ad(new)
    strange.X = strange.X.astype(np.float64) / 2
    strange.write_h5ad(tmp_path / "in.h5ad")
    refused(run("map", tmp_path / "in.h5ad", "-m", fitted, "-o", out), "counts")
    assert not out.exists()


def test_a_model_without_states_is_refused(run, folder, tmp_path):
    done = run("fit", folder / "old.h5ad", "-b", "batch", "--method", "concept", "-o", tmp_path / "fit.h5ad")
    assert done.exit_code == 0
    refused(
        run("map", folder / "new.h5ad", "-m", tmp_path / "fit.h5ad", "-o", tmp_path / "out.h5ad"),
        "method 'concept' keeps no states",
    )


def test_it_is_in_the_help(run):
    assert "unbatch map new.h5ad" in run("map", "--help").stdout
    assert " map " in run("--help").stdout


def test_a_file_that_was_a_batch_is_known_when_it_comes_alone(run, cells, tmp_path):
    paths = [tmp_path / "store" / name / "counts.h5ad" for name in ("x1", "x2")]
    for path, batch in zip(paths, ("batch_1", "batch_2"), strict=True):
        path.parent.mkdir(parents=True)
        cells[(cells.obs["batch"] == batch).to_numpy()].copy().write_h5ad(path)
    fit = tmp_path / "fit.h5ad"
    assert run("fit", *paths, "-o", fit).exit_code == 0
    done = run("map", paths[1], "-m", fit, "-o", tmp_path / "mapped.h5ad")
    assert "1 batch ('x2') of the model" in done.stdout
    assert "new batch" not in done.stdout
    done = run("adjust", paths[1], "-m", fit, "-o", tmp_path / "one.h5ad")
    assert done.exit_code == 0, done.stderr
    assert run("adjust", *paths, "-m", fit, "-o", tmp_path / "both.h5ad").exit_code == 0
    one, both = ad.read_h5ad(tmp_path / "one.h5ad"), ad.read_h5ad(tmp_path / "both.h5ad")
    np.testing.assert_array_equal(one.X.toarray(), both[one.obs_names].X.toarray())


@pytest.mark.parametrize(("name", "write"), [("run4.h5", write_tenx_h5), ("donor.1", write_mtx)])
def test_a_10x_input_is_a_batch_and_has_one_matrix_whatever_was_fitted(run, folder, tmp_path, name, write):
    old = ad.read_h5ad(folder / "old.h5ad")
    old.layers["counts"] = old.X
    old.X = old.X / 2
    old.write_h5ad(tmp_path / "old.h5ad")
    fit, mapped = tmp_path / "fit.h5ad", tmp_path / "mapped.h5ad"
    assert run("fit", tmp_path / "old.h5ad", "-b", "batch", "--layer", "counts", "-o", fit).exit_code == 0
    new = ad.read_h5ad(folder / "new.h5ad")
    write(new[(new.obs["batch"] == "batch_4").to_numpy()].copy(), tmp_path / name)
    called = name.removesuffix(".h5")
    for flags in ([], ["--layer", "X"]):
        done = run("map", tmp_path / name, "-m", fit, "-o", mapped, *flags)
        assert done.exit_code == 0, done.stderr
        assert f"no column 'batch': each file is taken for a batch, {called!r} (new)" in done.stderr
        assert f"1 new batch ({called!r})" in done.stdout
    done = run("adjust", tmp_path / name, "-m", mapped, "-o", tmp_path / "out.h5ad")
    assert done.exit_code == 0, done.stderr
    assert done.stderr == ""
    assert set(ad.read_h5ad(tmp_path / "out.h5ad").obs["unbatch_batch"]) == {called}
    refused(run("map", tmp_path / name, "-m", fit, "--layer", "counts", "-o", mapped), "'counts'")
    refused(run("adjust", tmp_path / name, "-m", fit, "-o", tmp_path / "out.h5ad"), f"batch {called!r}", "not part")


def test_a_10x_input_that_bears_the_name_of_a_batch_is_of_it(run, folder, fitted, tmp_path):
    old = ad.read_h5ad(folder / "old.h5ad")
    first = old[(old.obs["batch"] == "batch_1").to_numpy()].copy()
    first.write_h5ad(tmp_path / "first.h5ad")
    write_tenx_h5(first, tmp_path / "batch_1.h5")
    for name in ("first.h5ad", "batch_1.h5"):
        done = run("adjust", tmp_path / name, "-m", fitted, "-o", tmp_path / f"{name}.zarr")
        assert done.exit_code == 0, done.stderr
    assert "each file is taken for a batch, 'batch_1' (known)" in done.stderr
    one, two = (ad.read_zarr(tmp_path / f"{name}.zarr") for name in ("first.h5ad", "batch_1.h5"))
    np.testing.assert_array_equal(one.X.toarray(), two.X.toarray())
    assert set(two.obs["unbatch_batch"]) == {"batch_1"}


def test_mapped_cells_in_place_of_the_counts_are_told_by_name(run, folder, fitted, tmp_path):
    run("map", folder / "new.h5ad", "-m", fitted, "-o", tmp_path / "mapped.h5ad")
    words = "mapped.h5ad is what `unbatch map` wrote and holds no counts"
    refused(run("map", tmp_path / "mapped.h5ad", "-m", fitted, "-o", tmp_path / "again.h5ad"), words)
    assert words in run("inspect", tmp_path / "mapped.h5ad", "-b", "batch").stdout
