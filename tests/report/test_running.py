import numpy as np
import pytest

import unbatch as ub
from unbatch.report.reading import read_fitted
from unbatch.report.running import python_call, running

from .made import made

GENES, BATCHES = ["g0", "g1"], ["a", "b"]


def of(adata):
    return read_fitted(adata, most_cells=0)


def test_how_the_fit_ended_is_said_in_words():
    assert running(of(made(genes=GENES, batches=BATCHES))).stop == "The effects settled. 3 rounds."
    moved = running(of(made(genes=GENES, batches=BATCHES, stop_reason="max_rounds"))).stop
    assert moved.startswith("It stopped while effects still moved (max_rounds): raise the number of rounds.")


def test_the_trace_is_a_line_and_a_table_of_the_same_numbers():
    found = running(of(made(genes=GENES, batches=BATCHES, trace={"change": np.array([0.5, 0.1, 0.001])})))
    (line,) = found.lines
    assert (line.first, line.last, line.n_rounds) == ("0.500", "0.00100", 3)
    assert [x for x, _ in line.marks] == [8, 120, 232]
    assert [y for _, y in line.marks] == pytest.approx([8, 67.3, 82], abs=0.1)
    assert [row[1] for row in found.trace.rows] == ["0.500", "0.100", "0.00100"]


def test_traces_of_one_round_and_without_numbers():
    trace = {"change": np.array([np.nan]), "states": np.array([np.nan, 3.0])}
    found = running(of(made(genes=GENES, batches=BATCHES, trace=trace)))
    assert [line.first for line in found.lines] == ["\u2013"]
    assert [row[1] for row in found.trace.rows] == ["\u2013", "\u2013"]


def test_times_memory_parameters_and_versions():
    found = running(of(made(genes=GENES, batches=BATCHES)))
    assert [row[:2] for row in found.timings.rows] == [
        ("fitting effects", "2.5"),
        ("reading counts", "1.5"),
        ("in all", "4.0"),
    ]
    assert found.memory == "1.50 GB"
    assert ("caliper", "6.0") in found.parameters.rows
    assert ("batch key", "batch") in found.parameters.rows
    assert ("numpy", "2.0") in found.versions.rows


def test_the_command_line_is_given_as_it_was_typed():
    found = running(of(made(genes=GENES, batches=BATCHES, command="unbatch fit 'a b.h5ad' -o c.h5ad")))
    assert (found.command, found.language) == ("unbatch fit 'a b.h5ad' -o c.h5ad", "shell")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"seed": 3, "min_cells": 5, "reference": "batch_2", "method": ub.MatchedOptions(max_states=7)},
        {"method": "concept"},
        {"match_within": "site", "control_genes": ["gene_01", "gene_05"]},
        {"effects_only": True},
        {"state_specific": True, "layer": "counts"},
    ],
)
def test_the_call_gives_the_same_fit_again(options):
    adata = ub.simulate(n_cells=240, n_genes=40, n_batches=2, n_types=2, median_depth=900, seed=1)
    adata.obs["site"] = ["x", "y"] * 120
    adata.layers["counts"] = adata.X.copy()
    first, again = adata.copy(), adata.copy()
    ub.tl.batch_effects(first, batch_key="batch", **options)
    exec(python_call(of(first)).removeprefix("import unbatch as ub\n"), {"ub": ub, "adata": again})  # noqa: S102 - ours
    np.testing.assert_array_equal(first.varm["batch_effects"], again.varm["batch_effects"])
    np.testing.assert_array_equal(first.varm["batch_effects_se"], again.varm["batch_effects_se"])
    for key in ("parameters", "placed", "reference"):
        assert first.uns["unbatch"][key] == again.uns["unbatch"][key]
    assert set(first.uns["unbatch"]) == set(again.uns["unbatch"])


def test_what_was_mapped_says_so():
    fit = made(genes=GENES, batches=BATCHES, mapped_onto={"n_cells": 9})
    assert "ub.tl.map_cells(adata, model=MODEL)" in python_call(of(fit))
