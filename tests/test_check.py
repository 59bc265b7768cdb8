"""Options are numbers in their ranges, and the refusal says which range."""

import math

import pytest

from unbatch import InputError
from unbatch._check import check_number, check_whole

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
