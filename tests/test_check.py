"""Options are numbers in their ranges, and the refusal says which range."""

import math

import numpy as np
import pytest
from scipy import sparse

import unbatch as ub
from unbatch import InputError, InputWarning
from unbatch._check import check_number, check_slot, check_whole, warn

DIGITS = 10**400
"""More than a float can hold."""


@pytest.mark.parametrize("value", [DIGITS, math.inf], ids=["digits", "inf"])
def test_what_no_float_can_hold_is_infinite(value):
    with pytest.raises(InputError, match=r"^tol is .*: it must be a finite number of 0 or more$"):
        check_number("tol", value, least=0)
    check_number("caliper", value, above=0, infinite=True)


@pytest.mark.parametrize("value", [math.nan, "2", True, None, -math.inf, -DIGITS, 0], ids=lambda value: str(value)[:5])
def test_where_infinity_has_a_meaning_the_rest_is_still_refused(value):
    with pytest.raises(InputError, match=r"^caliper is .*: it must be a number above 0$"):
        check_number("caliper", value, above=0, infinite=True)


@pytest.mark.parametrize(
    ("value", "span"), [(0, "of 1 or more"), (1.5, "of 1 or more"), (2**63, "from 1 to 9223372036854775807")]
)
def test_the_end_of_a_range_is_told_to_who_went_beyond_it(value, span):
    with pytest.raises(InputError, match=rf"it must be a whole number {span} \(15 is usual\)$"):
        check_whole("n_neighbors", value, least=1, usual=15)


def _of_model(adata):
    ub.BatchModel().fit(adata.X, adata.obs["batch"])


def _of_tools(adata):
    ub.tl.batch_effects(adata, batch_key="batch")


@pytest.mark.parametrize("call", [_of_model, _of_tools])
def test_warnings_name_the_line_of_the_user(call):
    adata = ub.simulate(n_cells=60, n_genes=40, n_batches=2, seed=0)
    adata.X = sparse.csr_matrix(np.vstack([np.zeros(40), adata.X.toarray()[1:]]))  # seen as the first pass ends
    adata.obs["batch"] = [*adata.obs["batch"].astype(str)[:59], "solo"]  # seen before
    with pytest.warns(InputWarning) as told:
        call(adata)
    assert any("no counts" in str(one.message) for one in told)
    assert any("fewer than 2 cells" in str(one.message) for one in told)
    assert {one.filename for one in told} == {__file__}


def test_a_warning_of_nobody_else_names_who_gives_it():
    with pytest.warns(InputWarning, match="^such$") as told:
        warn("such")
    assert told[0].filename == __file__


@pytest.mark.parametrize("value", ["", "a/b", None, 3])
def test_what_a_file_could_not_hold_is_no_name_of_a_slot(value):
    with pytest.raises(InputError, match=r"^key_added is .*: it must be a name without slashes$"):
        check_slot("key_added", value)
