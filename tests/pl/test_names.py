import warnings

import matplotlib as mpl
import pytest
from example import HOSTILE

from unbatch.pl._names import LONGEST, legible, legible_names


@pytest.mark.parametrize("name", ["GAPDH", "10x v3", "$x$", "<b>", "a" * LONGEST, "été δ"])
def test_a_short_name_stays_as_it_is(name):
    assert legible(name) == name


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("a" * 20 + "b" * 20, "a" * 14 + "…" + "b" * 13),
        ("x" * 10_000 + "y", "x" * 14 + "…" + "x" * 12 + "y"),
        ("two\nlines\tand \x07 a bell", "two lines and   a bell"),
        ("helix 🧬", "helix [1F9EC]"),
        ("lone \ud800", "lone [D800]"),
        ("mirrored \u202e", "mirrored [202E]"),
        ("", "(no name)"),
        (" \n ", "(no name)"),
    ],
)
def test_others_are_cut_in_the_middle_or_written_in_code_points(name, form):
    assert legible(name) == form
    assert len(form) <= LONGEST


def test_names_that_differ_late_stay_apart_and_those_that_would_look_the_same_are_numbered():
    late = ["long name number " * 5 + str(i) for i in range(3)]
    assert len(set(legible_names(late))) == 3
    middle = ["a" * 30 + letter + "a" * 30 for letter in "xyx"]
    form = "a" * 14 + "…" + "a" * 13
    assert legible_names(middle) == [f"{form} #1", f"{form} #2", f"{form} #1"]
    assert legible_names(["a\n", "a "]) == ["a #1", "a #2"]
    assert legible_names(["a", "a"]) == ["a", "a"]


def test_every_hostile_name_is_drawn_without_a_warning_of_missing_letters():
    from matplotlib.figure import Figure

    figure = Figure()
    for name in HOSTILE:
        figure.text(0, 0, legible(name), parse_math=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.draw_without_rendering()


def test_what_a_font_lacks_depends_on_the_font():
    assert legible("δ") == "δ"
    with mpl.rc_context({"font.family": "cmr10"}):
        assert legible("δ") == "[3B4]"
