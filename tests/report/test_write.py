"""Pages are written whole or not at all, and never over what they are made from."""

import hashlib

import pytest

import unbatch as ub
from unbatch import InputError

from .made import made


@pytest.fixture
def path(tmp_path):
    made(genes=["g0", "g1"], batches=["a", "b"]).write_h5ad(tmp_path / "fit.h5ad")
    return tmp_path / "fit.h5ad"


def test_a_page_is_written_with_real_maps_and_the_fit_is_not_touched(path):
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    ub.write_report(path, path.with_name("r.html"), color="kind")
    page = path.with_name("r.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert page.count('class="dot c') >= 8
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert sorted(one.name for one in path.parent.iterdir() if not one.name.startswith(".")) == ["fit.h5ad", "r.html"]


def test_a_file_without_diagnostics_says_how_to_have_them(tmp_path):
    made(genes=["g0", "g1"], batches=["a", "b"], diagnostics=False).write_h5ad(tmp_path / "old.h5ad")
    ub.write_report(tmp_path / "old.h5ad", tmp_path / "r.html", n_map_cells=0)
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "unbatch diagnose CELLS.h5ad --model old.h5ad" in page


def test_an_adata_in_memory_is_not_changed(tmp_path):
    adata = made(genes=["g0", "g1"], batches=["a", "b"])
    expected = adata.copy()
    ub.write_report(adata, str(tmp_path / "r.htm"), n_map_cells=0)
    assert adata.obs.equals(expected.obs)
    assert list(adata.uns["unbatch"]) == list(expected.uns["unbatch"])
    assert "cells in memory" in (tmp_path / "r.htm").read_text(encoding="utf-8")


def test_a_page_that_fails_leaves_the_old_one(path, monkeypatch):
    from unbatch.report import page

    old = path.with_name("r.html")
    old.write_text("old")

    def broken(_fitted, **_options):
        return "half a page \ud800"

    monkeypatch.setattr(page, "render", broken)
    with pytest.raises(UnicodeEncodeError):
        ub.write_report(path, old, n_map_cells=0)
    assert old.read_text() == "old"
    assert not [one for one in path.parent.iterdir() if one.name.endswith(".tmp")]


def test_it_does_not_write_over_the_fit(path):
    link = path.with_name("r.html")
    link.symlink_to(path)
    with pytest.raises(InputError, match="is the input"):
        ub.write_report(path, link, n_map_cells=0)
    ub.write_report(path, path.with_name("other.html"), n_map_cells=0)


@pytest.mark.parametrize(
    ("output", "options", "message"),
    [
        ("r.pdf", {}, r"r\.pdf does not end in \.html"),
        ("no/r.html", {}, "there is no folder"),
        ("r.html", {"n_map_cells": -1}, "n_map_cells is -1"),
        ("r.html", {"color": ["kind", "nonsense"]}, "no obs column 'nonsense'"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_written(path, output, options, message):
    with pytest.raises(InputError, match=message):
        ub.write_report(path, path.parent / output, **options)
    assert [one.name for one in path.parent.iterdir()] == ["fit.h5ad"]
