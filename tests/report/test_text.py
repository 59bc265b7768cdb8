import math

import pytest

from unbatch.report.text import LONGEST_NAME, chance, count, number, prose, share, shown


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (12, "12"),
        (-3, "\u22123"),
        (1234567, "1,234,567"),
        (1234.56, "1,235"),
        (0.12345, "0.123"),
        (1.23e29, "1.2e29"),
        (-2.5e7 - 0.5, "\u22122.5e7"),
        (2.0049, "2.00"),
        (45.678, "45.7"),
        (0.000123, "1.2e\u22124"),
        (-1.5e-12, "\u22121.5e\u221212"),
        (math.inf, "\u221e"),
        (-math.inf, "\u2212\u221e"),
        (math.nan, "\u2013"),
    ],
)
def test_numbers_have_three_digits_that_count(value, text):
    assert number(value) == text


def test_shares_and_chances_and_counts():
    assert [share(value) for value in (0.5, 0.049, 0, math.nan)] == ["50%", "4.9%", "0.0%", "\u2013"]
    assert [chance(value) for value in (0.04, 1e-300, 0.0)] == ["0.0400", "<\u00a01e\u221215", "<\u00a01e\u221215"]
    assert [count(1, "batch"), count(2, "batch"), count(2000, "gene")] == ["1 batch", "2 batches", "2,000 genes"]


def test_a_name_that_fits_is_itself():
    for name in ("CD3E", "<b>", "\N{DNA DOUBLE HELIX}", "x" * LONGEST_NAME):
        assert shown(name) == name


def test_a_long_name_keeps_both_ends_and_says_how_long_it_is():
    text = shown("START" + "x" * 9990 + "THEND")
    assert text.startswith("STARTx")
    assert "THEND (10,000 characters)" in text
    assert len(text) < LONGEST_NAME


def test_what_cannot_be_printed_or_turns_text_around_is_replaced():
    assert shown("a\x00b\u202ec\ud800") == "a\ufffdb\ufffdc\\ud800"


def test_sentences_are_cut_word_by_word():
    assert prose("of 'short' names") == "of 'short' names"
    assert len(prose("batch '" + "x" * 5000 + "' has none")) < 120
    assert prose("batch '" + "x" * 5000 + "' has none").endswith("has none")
