import json

import numpy as np
import pytest

from unbatch.report import effects
from unbatch.report.effects import PER_PAGE, find_effects, safe_json
from unbatch.report.reading import read_fitted

from .made import HOSTILE, made


def found_in(adata):
    return find_effects(read_fitted(adata, most_cells=0))


def rows_of(found):
    data = json.loads(found.json)
    return data, [(data["genes"][g], data["batches"][b]) for g, b in zip(data["gene"], data["batch"], strict=True)]


def test_the_surest_of_each_batch_are_kept_in_their_order(monkeypatch):
    monkeypatch.setattr(effects, "MOST_EFFECTS", 20)
    adata = made(genes=[f"g{place}" for place in range(50)], batches=["a", "b"])
    z = np.abs(adata.varm["batch_effects"] / adata.varm["batch_effects_se"])
    data, rows = rows_of(found_in(adata))
    expected = [(z[g, b], f"g{g}", "ab"[b]) for b in range(2) for g in np.argsort(-z[:, b])[:10]]
    assert rows == [(gene, batch) for _, gene, batch in sorted(expected, reverse=True)]
    np.testing.assert_allclose(np.abs(data["z"]), sorted((value for value, *_ in expected), reverse=True), rtol=6e-3)
    np.testing.assert_array_equal(np.sign(data["z"]), np.sign(data["effect"]))
    assert min(data["z"]) < 0 < max(data["z"])


def test_numbers_are_log2_effects_with_their_errors():
    adata = made(genes=["g0", "g1"], batches=["a", "b"])
    data, rows = rows_of(found_in(adata))
    for place, (gene, batch) in enumerate(rows):
        at = int(gene[1]), "ab".index(batch)
        assert data["effect"][place] == pytest.approx(adata.varm["batch_effects"][at] / np.log(2), rel=1e-3)
        assert data["error"][place] == pytest.approx(adata.varm["batch_effects_se"][at] / np.log(2), rel=6e-3)


def test_what_is_not_known_and_the_reference_have_no_rows():
    adata = made(genes=["g0", "g1"], batches=["a", "b", "c"], reference="c")
    adata.varm["batch_effects_se"][0, 0] = np.inf
    adata.varm["batch_effects_se"][:, 2] = 0
    found = found_in(adata)
    _, rows = rows_of(found)
    assert sorted(rows) == [("g0", "b"), ("g1", "a"), ("g1", "b")]
    assert (found.n_shown, found.n_known) == (3, 3)
    (row,) = [row for row in found.summary.rows if row[0] == "c"]
    assert row[-1] == "what the others are compared with"


def test_nothing_known_at_all_is_an_empty_table():
    adata = made(genes=["g0", "g1"], batches=["a", "b"])
    adata.varm["batch_effects_se"][:] = np.inf
    found = found_in(adata)
    assert found.n_shown == 0
    assert found.first == ()
    assert {row[-1] for row in found.summary.rows} == {"no effect is known"}


def test_a_batch_counts_its_clear_effects():
    adata = made(genes=[f"g{place}" for place in range(10)], batches=["quiet", "loud"])
    adata.varm["batch_effects"][:] = 0.01
    adata.varm["batch_effects_se"][:] = 0.05
    adata.varm["batch_effects"][:4, 1] = np.log(3)
    summary = found_in(adata).summary
    assert [(row[0], row[4]) for row in summary.rows] == [("loud", "4"), ("quiet", "0")]


def test_families_are_named():
    found = found_in(made(genes=["MT-CO1", "XIST", "CD3E"], batches=["a", "b"]))
    data = json.loads(found.json)
    names = {data["genes"][g]: data["families"][f] for g, f in zip(data["gene"], data["family"], strict=True)}
    assert names == {"MT-CO1": "mitochondrial", "XIST": "sex", "CD3E": ""}
    assert found.families


def test_many_genes_and_batches_stay_small():
    random = np.random.default_rng(0)
    adata = made(genes=[f"ENSG{place:011d}" for place in range(20_000)], batches=list("abcdefghijklmnopqrst"))
    adata.varm["batch_effects"] = random.normal(size=(20_000, 20))
    found = found_in(adata)
    assert (found.n_shown, found.per_batch, found.n_known) == (20_000, 1000, 400_000)
    assert len(found.json) < effects.MOST_BYTES
    assert len(found.first) == PER_PAGE


def test_long_names_leave_room_for_fewer_rows(monkeypatch):
    monkeypatch.setattr(effects, "MOST_BYTES", 20_000)
    adata = made(genes=[f"{place}" + "\N{DNA DOUBLE HELIX}" * 60 for place in range(500)], batches=["a", "b"])
    found = found_in(adata)
    assert 0 < found.per_batch < 500
    assert len(found.json.encode()) <= 20_000


def test_json_holds_nothing_that_html_would_read():
    text = safe_json(HOSTILE)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == list(HOSTILE)
