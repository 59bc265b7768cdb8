"""Inputs are named by the paths that were given, alone as among others."""

import os

import pytest

from unbatch.io.part_names import name_parts, possible_names, trail_of
from unbatch.io.source import open_counts

from .conftest import example_adata, write_mtx


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("run.h5ad", "run"),
        ("run.zarr", "run"),
        ("GSM1_matrix.mtx.gz", "GSM1_matrix"),
        ("donor.1", "donor.1"),
        ("donor.1.h5", "donor.1"),
        ("counts.hdf5", "counts.hdf5"),
        (".h5ad", ".h5ad"),
        ("a/../b/run.h5", "run"),
    ],
)
def test_known_endings_are_dropped_and_nothing_else(tmp_path, path, name):
    assert trail_of(tmp_path / path)[0] == name
    assert trail_of(tmp_path / path)[-1] == tmp_path.parts[1]
    assert ".." not in trail_of(tmp_path / path)


def test_the_root_has_a_name():
    assert name_parts([trail_of(tmp) for tmp in map(os.path.abspath, ("/", "/data"))]) == ("/", "data")


def test_an_input_has_one_of_its_possible_names_whatever_comes_along(tmp_path):
    trails = {path: trail_of(tmp_path / path) for path in ("lab1/d1.h5ad", "lab1/d2.h5ad", "lab2/d1.h5ad", "e/d1.h5")}
    for others in [["lab1/d2.h5ad"], ["lab2/d1.h5ad"], ["lab1/d2.h5ad", "lab2/d1.h5ad"], ["e/d1.h5"], []]:
        (name, *_) = name_parts([trails["lab1/d1.h5ad"], *(trails[other] for other in others)])
        assert name in possible_names(trails["lab1/d1.h5ad"])
    assert possible_names(("d1", "lab1", "data")) == {"d1", "lab1", "data", "lab1/d1", "data/lab1", "data/lab1/d1"}


def test_what_is_alike_gets_a_number():
    assert name_parts([("AnnData",), ("run", "data"), ("AnnData",)]) == ("AnnData-1", "run", "AnnData-2")


@pytest.mark.parametrize("others", [[], ["other.2"]])
def test_a_folder_with_a_dot_keeps_its_name_alone_too(tmp_path, others):
    for name in ("donor.1", "other.2"):
        write_mtx(tmp_path / name)
    assert open_counts([tmp_path / name for name in ["donor.1", *others]]).parts == ("donor.1", *others)


def test_links_are_named_as_they_were_given(tmp_path):
    links = []
    for number in (1, 2):
        (tmp_path / f"store{number}").mkdir()
        example_adata().write_h5ad(tmp_path / f"store{number}" / "data.h5ad")
        links.append(tmp_path / f"patient{number}.h5ad")
        links[-1].symlink_to(tmp_path / f"store{number}" / "data.h5ad")
    assert open_counts(links).parts == ("patient1", "patient2")
    assert open_counts(links[0]).parts == ("patient1",)
