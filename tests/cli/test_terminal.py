"""As a user meets it: help, version, exit codes, pipes, terminals and Ctrl-C, in real processes where it matters."""

import os
import pty
import re
import shutil
import subprocess
import sys
import threading
import types
from importlib.metadata import version
from pathlib import Path
from unittest.mock import Mock

import pytest
from typer.testing import CliRunner

import unbatch as ub
from unbatch._check import InputError, InputWarning
from unbatch._progress import Silent
from unbatch.cli import app
from unbatch.cli._console import one_line_warnings

UNBATCH = Path(sys.executable).with_name("unbatch")
COMMANDS = ("demo", "fit", "diagnose", "adjust", "offsets", "simulate", "inspect")


def process(*arguments, **options):
    command = [str(UNBATCH), *(str(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


ONE_BY_ONE = """
import sys
from unbatch.__main__ import main
arguments, code = sys.argv[1:], 0
while arguments:
    end = arguments.index(";")
    sys.argv, arguments = ["unbatch", *arguments[:end]], arguments[end + 1:]
    try:
        main()
    except SystemExit as ended:
        code = ended.code or 0
    for stream in (sys.stdout, sys.stderr):
        print(f"ended with {code}", file=stream, flush=True)
sys.exit(code)
"""


def one_by_one(*commands):
    """What runs several commands in one process, which loads the libraries once, and exits as the last of them does."""
    return [sys.executable, "-c", ONE_BY_ONE, *(str(part) for command in commands for part in (*command, ";"))]


def parts(said):
    """What each command of one process said, and its exit code."""
    found = re.split(r"ended with (\d+)\r?\n", said)
    return list(zip(found[:-1:2], map(int, found[1::2]), strict=True))


def on_a_terminal(*commands):
    """Run commands with standard error on a pseudo-terminal; give all that each showed and its exit code."""
    master, slave = pty.openpty()
    running = subprocess.Popen(one_by_one(*commands), stdout=subprocess.DEVNULL, stderr=slave)
    os.close(slave)
    shown = bytearray()

    def read():
        try:
            while chunk := os.read(master, 4096):
                shown.extend(chunk)
        except OSError:  # Linux reports the end of a pseudo-terminal as an error
            pass

    reader = threading.Thread(target=read)
    reader.start()
    running.wait(timeout=120)
    reader.join(timeout=10)
    os.close(master)
    return parts(shown.decode())


def test_version_is_quick_to_say():
    done = process("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"unbatch {version('unbatch')}\n", "")


def test_the_command_line_itself_loads_nothing_heavy():
    code = (
        "import sys, unbatch.cli; "
        "print([name for name in ('anndata', 'matplotlib', 'openTSNE', 'numba', 'faiss') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(run, command):
    done = run(command, "--help")
    assert done.exit_code == 0
    text = done.stdout
    assert "Examples:" in text
    assert f"unbatch {command}" in text.split("Examples:")[1]
    assert "----" not in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_says_what_it_is(command):
    options = {option.name: option for option in _click_command(command).params if option.name != "help"}
    assert options
    for name, option in options.items():
        assert option.help, name


def _click_command(name):
    from typer.main import get_command

    return get_command(app).commands[name]


def test_help_lists_the_commands(run):
    done = run("--help")
    assert done.exit_code == 0
    for command in COMMANDS:
        assert command in done.stdout


def test_a_misspelt_command_is_a_usage_error(run):
    done = run("fitt")
    assert done.exit_code == 2
    assert "fitt" in done.stderr


def test_an_output_that_may_not_be_written_is_one_line_before_the_work(run, tmp_path):
    (tmp_path / "not-even-read.h5ad").write_text("junk")
    done = run("fit", tmp_path / "not-even-read.h5ad", "-b", "batch", "-o", "/proc/fit.h5ad")
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: --output /proc/fit.h5ad cannot be written")
    assert len(done.stderr.splitlines()) == 1


def test_in_a_pipe_there_is_no_bar_and_refused_input_is_one_line_and_exit_code_2(h5ad, tmp_path):
    (tmp_path / "cut.h5ad").write_bytes(h5ad.read_bytes()[: h5ad.stat().st_size // 2])
    by = ("-b", "batch", "-o", tmp_path / "fit.h5ad")
    done = subprocess.run(
        one_by_one(("fit", h5ad, *by), ("fit", tmp_path / "cut.h5ad", *by)), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    (shown, code), refused = parts(done.stdout)
    assert code == 0
    assert "Fitted 150 cells" in shown
    assert "%|" not in shown
    assert "\x1b" not in shown
    assert refused == ("", 2)
    silence, (told, _) = parts(done.stderr)
    assert silence == ("", 0)
    assert told.startswith("Error: ")
    assert "cut.h5ad" in told
    assert len(told.splitlines()) == 1


def test_on_a_terminal_there_is_a_bar_and_quiet_takes_it_away(tmp_path):
    command = ("simulate", "--n-cells", 50, "-o", tmp_path / "sim.h5ad")
    (shown, code), quiet = on_a_terminal(command, (*command, "--quiet"))
    assert code == 0
    assert "simulating counts" in shown
    assert "100%" in shown
    assert quiet == ("", 0)


@pytest.fixture
def demo(monkeypatch):
    """A demonstration that does what a test tells it to."""
    module = types.ModuleType("unbatch.demo")
    monkeypatch.setitem(sys.modules, "unbatch.demo", module)
    return module


def test_demo_is_called_with_its_folder(run, demo, tmp_path):
    calls = []
    demo.run_demo = lambda output, *, progress: calls.append((output, progress))
    assert run("demo", "--output", tmp_path / "figures").exit_code == 0
    assert calls[0][0] == tmp_path / "figures"
    assert isinstance(calls[0][1], Silent)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "Interrupted."),
        (PermissionError(13, "Permission denied", "figures"), 2, "Error: [Errno 13] Permission denied: 'figures'"),
        (MemoryError(), 2, "Error: not enough memory"),
    ],
)
def test_what_stops_a_command_is_one_line(run, demo, error, code, message):
    demo.run_demo = Mock(side_effect=error)
    done = run("demo")
    assert done.exit_code == code
    assert done.stderr.startswith(message)
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("error", [InputError("gone"), FileNotFoundError("gone"), RuntimeError("gone")])
def test_an_error_once_the_process_is_to_end_is_the_interruption(run, demo, monkeypatch, error):
    asked, told = threading.Event(), threading.Event()
    asked.set()
    monkeypatch.setattr("unbatch.cli._console.asked", asked)
    monkeypatch.setattr("unbatch.cli._console.told", told)
    demo.run_demo = Mock(side_effect=error)
    done = run("demo")
    assert (done.exit_code, done.stderr) == (130, "Interrupted.\n")
    assert told.is_set()
    assert (run("demo").exit_code, run("demo").stderr) == (130, "")  # the watching thread may have said it


def test_a_defect_of_ours_is_not_hidden(demo):
    demo.run_demo = Mock(side_effect=ZeroDivisionError)
    done = CliRunner().invoke(app, ["demo"])
    assert isinstance(done.exception, ZeroDivisionError)


def test_warnings_are_one_line_each_every_time(capsys):
    import warnings

    with one_line_warnings():
        for _ in range(2):
            warnings.warn("two\nlines", InputWarning, stacklevel=1)
    assert capsys.readouterr().err == "Warning: two lines\n" * 2


def test_nothing_is_said_once_the_process_is_to_end(capsys, monkeypatch):
    """What other threads then meet, such as files that are being removed, is of no use to anybody."""
    import warnings

    asked = threading.Event()
    asked.set()
    monkeypatch.setattr("unbatch.cli._console.asked", asked)
    with one_line_warnings():
        warnings.warn("a file has gone", InputWarning, stacklevel=1)
    assert not capsys.readouterr().err


def test_the_module_is_the_command_line():
    done = subprocess.run([sys.executable, "-m", "unbatch", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("unbatch ")


def test_a_name_that_standard_output_cannot_encode_is_escaped(toy, tmp_path):
    adata = toy.copy()
    adata.obs["batch"] = ["β₁" if name == "batch_1" else "日" for name in adata.obs["batch"]]
    adata.write_h5ad(tmp_path / "greek.h5ad")
    done = process("inspect", tmp_path / "greek.h5ad", "-b", "batch", env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert (done.returncode, done.stderr) == (0, "")
    assert r"\u03b2\u2081" in done.stdout
    assert r"\u65e5" in done.stdout


@pytest.mark.parametrize(
    ("closed", "verbose"), [("2>&-", ""), (">&-", "--verbose"), (">&- 2>&-", "--verbose"), ("<&- >&- 2>&-", "")]
)
def test_with_closed_streams_a_fit_works_in_silence(h5ad, tmp_path, closed, verbose):
    """Each stream alone and together; standard error, which alone knows of `--verbose`, with it and without."""
    out = tmp_path / "fit.h5ad"
    done = subprocess.run(
        ["sh", "-c", f"'{UNBATCH}' fit '{h5ad}' -b batch -o '{out}' {verbose} {closed}"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert out.is_file()
    assert (done.stdout != b"") == (closed == "2>&-")


@pytest.mark.parametrize("closed", ["2>&-", ">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_with_closed_streams_bad_input_is_refused(tmp_path, closed):
    out = tmp_path / "fit.h5ad"
    refused = subprocess.run(["sh", "-c", f"'{UNBATCH}' fit nothing.h5ad -o '{out}' {closed}"], check=False)
    assert refused.returncode == 2
    assert not out.exists()


LIBRARY = """
import os, sys, types
from unbatch.__main__ import main

def app():
    with open(sys.argv[1], "wb") as out:
        for stream in map(int, sys.argv[2:]):
            os.write(stream, b"a library's message")
            assert os.path.samestat(os.fstat(stream), os.stat(os.devnull))
        print("one of Python's own", file=sys.stdout)
        print("one of Python's own", file=sys.stderr)
        out.write(b"results")

sys.modules["unbatch.cli"] = types.SimpleNamespace(app=app)  # loaded before, it would take the numbers itself
main()
"""


@pytest.mark.parametrize(
    ("closed", "streams"), [(">&-", "1"), ("2>&-", "2"), (">&- 2>&-", "1 2"), ("<&- >&- 2>&-", "1 2")]
)
def test_what_a_library_writes_to_a_closed_stream_goes_nowhere(tmp_path, closed, streams):
    """A file or socket that is opened gets the least number that is free, which would be that of the stream."""
    out, script = tmp_path / "out", tmp_path / "library.py"
    script.write_text(LIBRARY)
    done = subprocess.run(["sh", "-c", f"'{sys.executable}' '{script}' '{out}' {streams} {closed}"], check=False)
    assert done.returncode == 0
    assert out.read_bytes() == b"results"


@pytest.fixture
def held():
    """Hold files open for writing in another process."""
    running = []

    def hold(path):
        code = "import h5py, sys; file = h5py.File(sys.argv[1], 'r+'); print('open', flush=True); sys.stdin.read()"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        running.append(subprocess.Popen([sys.executable, "-c", code, str(path)], **pipes))
        assert running[-1].stdout.readline() == b"open\n"

    yield hold
    for one in running:
        one.communicate()


def test_a_file_that_another_program_writes_to_is_not_called_damaged(run, held, h5ad, model, tmp_path):
    cells, fit = shutil.copy(h5ad, tmp_path / "cells.h5ad"), shutil.copy(model, tmp_path / "fit.h5ad")
    held(cells)
    held(fit)
    out = tmp_path / "out.h5ad"
    for path, command in (
        (cells, ("fit", cells, "-b", "batch", "-o", out)),
        (fit, ("adjust", h5ad, "-m", fit, "-o", out)),
        (fit, ("inspect", fit)),
    ):
        done = run(*command)
        assert done.exit_code == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"Error: {path} is open for writing in another program: close it there")
        assert "HDF5_USE_FILE_LOCKING=FALSE" in line
    assert not out.exists()


def test_names_of_files_that_are_not_utf_8_cost_no_fit(toy, tmp_path):
    folder = tmp_path / os.fsdecode(b"bad\xff")
    folder.mkdir()
    inputs = [folder / os.fsdecode(name) for name in (b"one\xff.h5ad", b"two.h5ad")]
    for batch, path in enumerate(inputs, start=1):
        toy[toy.obs["batch"] == f"batch_{batch}"].copy().write_h5ad(tmp_path / "ascii.h5ad")
        (tmp_path / "ascii.h5ad").rename(path)
    model = folder / os.fsdecode(b"fit\xff.h5ad")
    commands = [("fit", *inputs, "-o", model, "--report", folder / os.fsdecode(b"\xff.html"))]
    for command, output in (("adjust", b"adjusted\xff.h5ad"), ("map", b"mapped\xff.h5ad")):
        commands += [(command, *inputs, "-m", model, "-o", folder / os.fsdecode(output))]
    done = subprocess.run(one_by_one(*commands), capture_output=True, text=True, check=False)
    assert [code for _, code in parts(done.stdout)] == [0, 0, 0], done.stderr
    assert done.returncode == 0
    fit = ub.BatchModel.load(model).result
    assert fit.batches == (r"one\udcff", "two")
    assert r"bad\udcff" in fit.command
