"""Every kind of bad input is refused by every command and by the Python interface, in one message that names it."""

import pytest

import unbatch as ub
from unbatch.io.batches import read_batches
from unbatch.io.source import open_counts

from .ills_of_files import FILES
from .ills_of_labels import LABELS
from .ills_of_shapes import SHAPES
from .ills_of_values import VALUES

KINDS = {**VALUES, **SHAPES, **LABELS, **FILES}
EVERYWHERE = frozenset(
    {"negative-csr", "nan-dense", "complex", "no-genes", "indptr-ends-early", "empty-text", "pipe", "cut-at-19-of-20"}
)
"""Kinds that are tried on all commands; they read by the same door, so the others are tried on two."""


def test_there_are_kinds_enough_and_none_twice():
    assert len(KINDS) == len(VALUES) + len(SHAPES) + len(LABELS) + len(FILES) > 60


@pytest.mark.filterwarnings("ignore::unbatch._check.InputWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_it_is_refused_by_name_and_nothing_is_written(run, arguments, tmp_path, kind):
    ill = KINDS[kind]
    path = ill.make(tmp_path)
    output = tmp_path / "output"
    output.mkdir()
    before = sorted(tmp_path.rglob("*"))
    for command in [name for name in ill.commands if kind in EVERYWHERE or name in {"fit", "inspect"}]:
        done = run(*arguments(command, path, output))
        assert done.exit_code == 2, (command, done.output, done.exception)
        told = done.stdout if command == "inspect" else done.stderr
        errors = [line for line in told.splitlines() if line.startswith("Error: ")]
        assert all(line.startswith(("Error: ", "Warning: ")) for line in done.stderr.splitlines()), done.stderr
        if command in {"fit", "inspect"}:
            assert any(all(word in error for word in ill.words) for error in errors), (ill.words, errors)
        if command != "inspect":  # which goes on after an error, to say all that is wrong
            assert len(errors) == 1
            assert done.stdout == ""
        assert sorted(tmp_path.rglob("*")) == before, command
    if "fit" in ill.commands:
        with pytest.raises(ub.InputError) as caught:
            _fit_in_python(path)
        assert all(word in str(caught.value) for word in ill.words)
        assert sorted(tmp_path.rglob("*")) == before


def _fit_in_python(path):
    source = open_counts(path)
    return ub.BatchModel().fit_source(source, read_batches(source, "batch"))
