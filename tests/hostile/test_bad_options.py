"""Every numeric option of every command, of values that it cannot have: one line, exit code 2, nothing written.

The options are read off the commands themselves, so that one that is added later is tried too.
"""

import types
import typing

import pytest

from unbatch.cli import app

from .ills import sound_file

ILL = ("nan", "-inf", "-1", "-0.5", "many", "")
HUGE = "99999999999999999999999"
INFINITY_MEANS_SOMETHING = {("fit", "caliper")}
LARGE_IS_FINE = {
    ("adjust", "max_factor"),
    ("simulate", "composition"),
    ("fit", "caliper"),
    ("fit", "min_support"),
    ("fit", "tol"),
}
"""Numbers without an upper end."""
ENDINGS = {"report": "out.html"}
NEEDED = {
    "n_neighbors": ("--method", "concept"),
    "max_iter": ("--method", "concept"),
    "marker_share": ("--n-types", 3),
    "marker_log_fold_sd": ("--n-types", 3),
    "abundance_sd": ("--n-types", 3),
    "variation": ("--n-types", 3),
    "composition": ("--n-types", 3),
}
"""What else must be given for an option to count."""
LISTS = {
    "batch_proportions": ("nan", "inf,1", "-1,2", "0,0", "a,b", "1,1,1", "1e308,1e308"),
    "batch_depth": ("nan,1", "inf,1", "-1,2", "a,b", "1,1,1", "1e308,1e308"),
    "private_type": ("nan", "1", "a:b", "-1:0", "99:0"),
}


def _kind(hint):
    """The type of one value of an option."""
    if typing.get_origin(hint) in {types.UnionType, typing.Union}:
        (hint,) = [some for some in typing.get_args(hint) if some is not types.NoneType]
    return typing.get_args(hint)[0] if typing.get_origin(hint) is list else hint


def _options(kind):
    for command in app.registered_commands:
        for name, hint in typing.get_type_hints(command.callback).items():
            if name not in {"return", "inputs"} and _kind(hint) is kind:
                yield command.name or command.callback.__name__, name


CASES = [
    (command, name, value)
    for kind, values in {int: (*ILL, "inf", "2.5"), float: (*ILL, "inf")}.items()
    for command, name in _options(kind)
    for value in (*values, HUGE)
    if not (value == "inf" and (command, name) in INFINITY_MEANS_SOMETHING)
    and not (value == HUGE and (command, name) in LARGE_IS_FINE)
] + [("simulate", name, value) for name, values in LISTS.items() for value in values]


def test_options_of_all_commands_are_found():
    assert {command for command, _, _ in CASES} >= {"fit", "adjust", "factors", "simulate", "report"}
    assert {("fit", "tol"), ("adjust", "max_factor"), ("factors", "n_factors")} <= {case[:2] for case in CASES}


@pytest.mark.parametrize(("command", "name", "value"), CASES)
def test_it_is_refused_in_one_line_and_nothing_is_written(run, model, tmp_path, command, name, *, value):
    output = tmp_path / "output"
    output.mkdir()
    own = {
        "fit": [sound_file(tmp_path), "-b", "batch"],
        "simulate": ["--n-cells", 50, "--n-genes", 10],
        "report": [model],
    }.get(command, [sound_file(tmp_path), "--model", model])
    flag = f"--{name.replace('_', '-')}"
    done = run(command, *own, *NEEDED.get(name, ()), f"{flag}={value}", "-o", output / ENDINGS.get(command, "out.h5ad"))
    assert done.exit_code == 2, (done.output, done.exception)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(lines) == 1 or "Invalid value" in done.stderr, done.stderr
    assert not list(output.iterdir())
