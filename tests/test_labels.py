"""Which batch of the fit a cell is of: as it was fitted, whatever the labels look like."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import unbatch as ub
from unbatch.io.source import open_counts
from unbatch.labels import find_batches, known_names


@pytest.fixture
def cells():
    adata = ub.simulate(n_cells=240, n_genes=30, n_batches=3, n_types=2, median_depth=500, seed=1)
    adata.obs["batch"] = adata.obs["batch"].cat.rename_categories({"batch_1": "0", "batch_2": "1", "batch_3": "2"})
    return adata


@pytest.mark.parametrize("use", ["adjust", "pseudobulks", "factors", "diagnose"])
def test_labels_that_were_changed_since_the_fit_are_noticed(cells, use):
    ub.tl.batch_effects(cells, batch_key="batch")
    labels = cells.obs["batch"].astype(str).to_numpy()
    first, second = (int(np.flatnonzero(labels == name)[0]) for name in ("0", "1"))
    labels[[first, second]] = labels[[second, first]]
    cells.obs["batch"] = labels
    steps = {
        "adjust": lambda: ub.pp.adjust_counts(cells),
        "pseudobulks": lambda: ub.get.pseudobulks(cells, groupby="cell_type"),
        "factors": lambda: ub.tl.factors(cells, n_factors=2),
        "diagnose": lambda: ub.tl.diagnose(cells),
    }
    with pytest.raises(ub.InputError, match="2 of 240 cells of X of the AnnData bear another batch than in the fit"):
        steps[use]()


def test_the_batch_of_each_cell_is_kept(cells, tmp_path):
    ub.tl.batch_effects(cells, batch_key=["batch", "cell_type"])
    expected = cells.obs["batch"].astype(str) + " | " + cells.obs["cell_type"].astype(str)
    assert cells.obs["unbatch_batch"].astype(str).tolist() == expected.tolist()
    part = cells[60:120].copy()
    part.write_h5ad(tmp_path / "part.h5ad")
    fit = ub.BatchModel.load(tmp_path / "part.h5ad").result
    assert [fit.batches[code] for code in fit.batch] == expected[60:120].tolist()
    cells.obs["unbatch_batch"] = "nobody"
    with pytest.raises(
        ub.InputError, match=r"obs\['unbatch_batch'\] of this AnnData names no batch of the fit for 240"
    ):
        ub.pp.adjust_counts(cells)


@pytest.mark.filterwarnings("ignore::unbatch.InputWarning")
def test_numbers_are_the_same_however_they_are_written(cells):
    ub.tl.batch_effects(cells, batch_key="batch")
    model = ub.BatchModel().fit_source(open_counts(cells), ub_batches(cells))
    again = cells.copy()
    again.obs["batch"] = again.obs["batch"].astype(float)
    ub.tl.map_cells(again, model=model, batch_key="batch")
    assert list(again.uns["unbatch"]["batches"]) == ["0", "1", "2"]
    assert list(again.uns["unbatch"]["mapped_onto"]["known"]) == ["0", "1", "2"]
    mixed = cells.copy()
    mixed.obs["batch"] = pd.Series(["0.0" if place % 2 else "0" for place in range(240)], index=mixed.obs_names)
    ub.tl.map_cells(mixed, model=model, batch_key="batch")
    assert list(mixed.uns["unbatch"]["batches"]) == ["0", "0.0"]


def test_numbers_given_as_labels_are_the_same_however_they_are_written(cells):
    model = ub.BatchModel().fit(cells.X, cells.obs["batch"].astype(float).to_numpy())
    assert model.result.batches == ("0.0", "1.0", "2.0")
    again = model.adjust(cells.X, cells.obs["batch"].astype(int).to_numpy())
    assert (again != model.adjust(cells.X, cells.obs["batch"].astype(float).to_numpy())).nnz == 0


@pytest.mark.parametrize(
    ("known", "level", "name"),
    [
        ("0", "0.0", "0"),
        ("0.0", "0", "0.0"),
        ("-3", "-3.00", "-3"),
        ("10", "1_0", "1_0"),
        ("1", "01", "01"),
        ("1000", "1e3", "1e3"),
        ("inf", "Infinity", "Infinity"),
        ("0.5", "0.50", "0.50"),
        ("a", "a.0", "a.0"),
        ("batch_1 | 1", "batch_1 | 1.0", "batch_1 | 1"),
        ("2.0 | 1 | a", "2 | 1.00 | a", "2.0 | 1 | a"),
        ("1 | 01", "1.0 | 1.0", "1.0 | 1.0"),
        ("v1 | a", "v1.0 | a", "v1.0 | a"),
    ],
)
def test_only_the_point_of_a_whole_number_makes_no_difference(known, level, name):
    assert known_names([level, "x"], (known, "y")) == (name, "x")


def ub_batches(cells):
    from unbatch.io.batches import read_batches

    return read_batches(open_counts(cells), "batch")


def test_files_that_were_the_batches_are_known_by_as_much_of_their_paths_as_tells_them_apart(cells, tmp_path):
    paths = []
    for name, folder in (("0", "lab1/donor1"), ("1", "lab1/donor2"), ("2", "lab2/donor1")):
        (tmp_path / folder).mkdir(parents=True)
        paths.append(tmp_path / folder / "counts.h5ad")
        part = cells[cells.obs["batch"] == name].copy()
        part.varm.clear()
        part.write_h5ad(paths[-1])
    source = open_counts(paths)
    assert source.parts == ("lab1/donor1", "lab1/donor2", "lab2/donor1")
    turned = open_counts(paths[::-1])
    assert turned.parts == source.parts[::-1]


def test_a_fit_of_files_is_a_fit_in_python_too(cells, tmp_path):
    paths = [tmp_path / f"run{name}.h5ad" for name in "012"]
    for name, path in zip("012", paths, strict=True):
        part = cells[cells.obs["batch"] == name].copy()
        part.varm.clear()
        part.write_h5ad(path)
    source = open_counts(paths)
    from unbatch.io.batches import read_batches

    fit = ub.BatchModel().fit_source(source, read_batches(source)).result
    adata = cells[np.argsort(cells.obs["batch"].astype(str), kind="stable")].copy()
    from unbatch.stored_fit import write_slots

    adata.obs_names = fit.obs.index
    write_slots(adata, fit)
    assert adata.obs["unbatch_batch"].astype(str).tolist() == [f"run{name}" for name in adata.obs["batch"]]
    ub.pp.adjust_counts(adata)
    ub.pl.embedding(adata)
    ub.pp.adjust_counts(adata[40:200].copy())


def test_a_part_of_the_cells_is_not_diagnosed_and_gives_no_programmes(cells):
    ub.tl.batch_effects(cells, batch_key="batch")
    part = cells[:100].copy()
    with pytest.raises(ub.InputError, match="100 cells, not the 240 of the fit"):
        ub.tl.diagnose(part)
    with pytest.raises(ub.InputError, match="are not the 240 of the fit"):
        ub.tl.factors(part, n_factors=2)


FOLDERS = ("lab1/d1", "lab1/d2", "lab2/d1")


@pytest.fixture
def files(cells, tmp_path):
    """One file for each batch, which differ by folder and name, or by folder alone: by their names in a fit."""
    found = {}
    for code, folder in enumerate(FOLDERS):
        part = cells[cells.obs["batch"] == str(code)].copy()
        part.obs = part.obs[[]]
        for path in (tmp_path / f"{folder}.h5ad", tmp_path / folder / "counts.h5ad"):
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_h5ad(path)
            found[str(path.relative_to(tmp_path))] = path
    return found


def batches_of(source, fit):
    codes, names = find_batches(source, fit)
    return [names[code] for code in dict.fromkeys(codes.tolist())]


def fit_of(*batches, cells=()):
    return SimpleNamespace(
        batch_key=(), batch=None, batches=batches, obs=pd.DataFrame(index=pd.Index(cells, dtype=object))
    )


@pytest.mark.parametrize(
    ("given", "fitted", "names"),
    [
        (["lab1/d1/counts.h5ad"], ["d1", "d2"], ["d1"]),  # SAMPLE/outs/counts.h5ad, one of two samples
        (["lab1/d1.h5ad"], ["lab1/d1", "lab1/d2", "lab2/d1"], ["lab1/d1"]),
        (["lab1/d1.h5ad", "lab1/d2.h5ad"], ["lab1/d1", "lab1/d2", "lab2/d1"], ["lab1/d1", "lab1/d2"]),
        (["lab1/d1.h5ad", "lab2/d1.h5ad"], ["d1", "d2"], ["lab1", "lab2"]),  # both could be d1
        (["lab1/d1.h5ad", "lab2/d1/counts.h5ad"], ["d1", "d2"], ["d1", "counts"]),  # the name goes before the folder
        (["lab1/d1.h5ad"], ["lab1", "lab1/d1"], ["d1"]),  # one file, two names that it could have
        (["lab1/d1.h5ad"], ["lab1", "d1"], ["d1"]),
        (["lab1/d1.h5ad"], ["lab", "1", "d", "lab3/d1"], ["d1"]),
        (["lab1/d1.h5ad", "lab1/d2.h5ad"], ["lab1/d1", "e1"], ["lab1/d1", "d2"]),
    ],
)
def test_a_file_is_the_batch_that_it_was_in_the_fit_whatever_came_along_there(files, given, fitted, names):
    source = open_counts([files[name] for name in given])
    assert batches_of(source, fit_of(*fitted, cells=source.obs.index)) == names


def test_another_file_in_a_folder_that_names_a_batch_is_new(files):
    source = open_counts(files["lab1/d1/counts.h5ad"])
    names = source.obs.index
    assert batches_of(source, fit_of("d1", "d2", cells=names[: len(names) // 3])) == ["counts"]
    assert batches_of(source, fit_of("d1", "d2", cells=names[: 2 * len(names) // 3])) == ["d1"]


def test_inputs_that_were_given_names_have_no_others(files):
    source = open_counts({"x": files["lab1/d1.h5ad"], "y": files["lab1/d2.h5ad"]})
    assert batches_of(source, fit_of("d1", "d2", cells=source.obs.index)) == ["x", "y"]


def test_conditions_that_are_numbers_are_the_same_however_they_are_written(cells):
    cells.obs["run"] = np.arange(240) % 2
    model = ub.BatchModel()
    from unbatch.io.batches import label_cells

    source = open_counts(cells)
    model.fit_source(source, ub_batches(cells), within=label_cells(source, "run"))
    again = cells.copy()
    again.obs["run"] = again.obs["run"].astype(float)
    mapped = model.map(again, batch_key="batch").result
    np.testing.assert_array_equal(mapped.sample, model.result.sample)
    ub.tl.batch_effects(cells, batch_key="batch", match_within="run")
    cells.obs["run"] = cells.obs["run"].astype(float)
    before = ub.get.verdicts(cells)
    ub.tl.diagnose(cells)
    assert ub.get.verdicts(cells).equals(before)
