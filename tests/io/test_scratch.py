import json
import os
import signal
import stat
import subprocess
import sys
import threading

import pytest

from unbatch.io import scratch
from unbatch.io.scratch import abandon_all, claim, claimed, sweep

PROGRAM = """
import os, signal, sys
from pathlib import Path
from unbatch.io.scratch import claim
mine = claim(Path(sys.argv[1]), target="out.zarr")
mine.path("tmp").mkdir()
(mine.path("tmp") / "part").write_text("half")
mine.path("more").touch()
print("ready", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def other(tmp_path):
    """Another process that has claimed a place in the folder; killed in the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    yield process
    process.kill()
    process.communicate()


def _kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


def _record(folder, **changed):
    """Change what the one lock in a folder says of its process."""
    (lock,) = folder.glob("*.lock")
    lock.write_text(json.dumps(json.loads(lock.read_text()) | changed))


def _names(folder):
    return sorted(path.suffix for path in folder.iterdir())


def test_what_is_claimed_is_private_and_goes_in_the_end(tmp_path):
    with claimed(tmp_path) as mine:
        (lock,) = tmp_path.iterdir()
        assert stat.S_IMODE(lock.stat().st_mode) == 0o600
        mine.path("tmp").write_text("half")
    assert _names(tmp_path) == []


def test_a_living_process_keeps_its_scratch(tmp_path, other):
    sweep(tmp_path)
    with claimed(tmp_path):
        pass
    assert _names(tmp_path) == [".lock", ".more", ".tmp"]
    assert other.poll() is None


def test_a_thread_keeps_its_scratch(tmp_path):
    with claimed(tmp_path) as mine:
        mine.path("tmp").touch()
        thread = threading.Thread(target=sweep, args=(tmp_path,))
        thread.start()
        thread.join()
        assert _names(tmp_path) == [".lock", ".tmp"]


def test_what_a_killed_process_left_goes_with_the_next_claim(tmp_path, other):
    _kill(other)
    assert _names(tmp_path) == [".lock", ".more", ".tmp"]
    with claimed(tmp_path):
        assert _names(tmp_path) == [".lock"]
    assert _names(tmp_path) == []


def test_what_was_put_aside_comes_back(tmp_path, other):
    (half,) = tmp_path.glob("*.tmp")
    half.with_suffix(".old").mkdir()
    (half.with_suffix(".old") / "all").write_text("old")
    _kill(other)
    sweep(tmp_path)
    assert (tmp_path / "out.zarr" / "all").read_text() == "old"
    assert _names(tmp_path) == [".zarr"]


def test_what_was_put_aside_goes_if_the_new_one_is_there(tmp_path, other):
    (half,) = tmp_path.glob("*.tmp")
    half.with_suffix(".old").mkdir()
    (tmp_path / "out.zarr").mkdir()
    (tmp_path / "out.zarr" / "all").write_text("new")
    _kill(other)
    sweep(tmp_path)
    assert (tmp_path / "out.zarr" / "all").read_text() == "new"
    assert _names(tmp_path) == [".zarr"]


def test_another_machine_keeps_its_scratch_though_its_lock_is_not_seen(tmp_path, other):
    _kill(other)
    _record(tmp_path, host="elsewhere", boot="another")
    sweep(tmp_path)
    assert _names(tmp_path) == [".lock", ".more", ".tmp"]


def test_what_was_left_before_the_machine_was_started_again_goes(tmp_path, other):
    _kill(other)
    _record(tmp_path, boot="earlier")
    sweep(tmp_path)
    assert _names(tmp_path) == []


def test_a_process_that_died_before_it_said_who_it_was_leaves_nothing(tmp_path):
    (tmp_path / ".unbatch-0123.lock").touch()
    sweep(tmp_path)
    assert _names(tmp_path) == []


def test_what_a_thread_wrote_after_the_lock_was_gone_goes(tmp_path):
    (tmp_path / ".unbatch-0123.tmp").mkdir()
    (tmp_path / ".unbatch-0123.tmp" / "chunk").touch()
    sweep(tmp_path)
    assert _names(tmp_path) == []


def test_without_locks_the_process_is_looked_for(tmp_path, other, monkeypatch):
    monkeypatch.setattr(scratch, "_try_lock", lambda _: None)
    sweep(tmp_path)
    assert _names(tmp_path) == [".lock", ".more", ".tmp"]
    _kill(other)
    other.communicate()
    _record(tmp_path, processes="of another container")
    sweep(tmp_path)
    assert _names(tmp_path) == [".lock", ".more", ".tmp"]
    _record(tmp_path, processes=scratch._whoami()["processes"])
    sweep(tmp_path)
    assert _names(tmp_path) == []


def test_a_number_that_another_process_has_now_is_no_sign_of_life(tmp_path, other, monkeypatch):
    monkeypatch.setattr(scratch, "_try_lock", lambda _: None)
    _kill(other)
    _record(tmp_path, process=os.getpid())  # which was started at another time
    sweep(tmp_path)
    assert _names(tmp_path) == []


def test_links_and_names_of_others_are_left_alone(tmp_path):
    (tmp_path / "precious").write_text("data")
    (tmp_path / ".unbatch-0123.lock").symlink_to(tmp_path / "precious")
    (tmp_path / ".unbatchable").touch()
    sweep(tmp_path)
    assert (tmp_path / "precious").read_text() == "data"
    assert (tmp_path / ".unbatchable").exists()


def test_the_target_of_a_forged_record_stays_in_the_folder(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / ".unbatch-0123.lock").write_text(json.dumps(scratch._whoami() | {"target": "../../escaped"}))
    (folder / ".unbatch-0123.old").touch()
    sweep(folder)
    assert not (tmp_path.parent / "escaped").exists()
    assert sorted(path.name for path in folder.iterdir()) == ["escaped"]


def test_a_copy_of_the_process_removes_nothing(tmp_path):
    mine = claim(tmp_path)
    mine.path("tmp").touch()
    object.__setattr__(mine, "_process", os.getpid() + 1)
    mine.release()
    assert _names(tmp_path) == [".lock", ".tmp"]
    object.__setattr__(mine, "_process", os.getpid())
    mine.release()
    assert _names(tmp_path) == []


def test_all_can_be_abandoned_at_once(tmp_path):
    for _ in range(3):
        claim(tmp_path).path("tmp").mkdir()
    abandon_all()
    assert _names(tmp_path) == []


def test_what_is_written_to_while_it_is_removed_is_removed_again(tmp_path, monkeypatch):
    mine, remove, writes = claim(tmp_path), scratch._remove, iter(range(3))
    mine.path("tmp").mkdir()

    def removed_and_written(path):
        remove(path)
        if path.suffix == ".tmp" and next(writes, None) is not None:
            path.mkdir()

    monkeypatch.setattr(scratch, "_remove", removed_and_written)
    mine.release()
    assert next(writes, None) is None
    assert _names(tmp_path) == []


def test_an_interruption_while_the_lock_is_made_leaves_none(tmp_path, monkeypatch):
    make = os.open

    def made_and_interrupted(*arguments):
        os.close(make(*arguments))
        raise KeyboardInterrupt

    monkeypatch.setattr(scratch.os, "open", made_and_interrupted)
    with pytest.raises(KeyboardInterrupt):
        claim(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_removed_stays_claimed_until_it_can(tmp_path, monkeypatch):
    mine, remove = claim(tmp_path), scratch._remove
    mine.path("tmp").touch()
    monkeypatch.setattr(scratch, "_remove", lambda path: None if path.suffix == ".tmp" else remove(path))
    monkeypatch.setattr(scratch, "_PAUSE", 0.0)
    mine.release()
    assert _names(tmp_path) == [".lock", ".tmp"]
    sweep(tmp_path)
    assert _names(tmp_path) == [".lock", ".tmp"]
    monkeypatch.setattr(scratch, "_remove", remove)
    abandon_all()
    assert _names(tmp_path) == []


def test_claims_of_many_at_once_do_not_take_each_other_for_leftovers(tmp_path):
    problems = []

    def work():
        for _ in range(50):
            with claimed(tmp_path) as mine:
                mine.path("tmp").touch()
                sweep(tmp_path)
                if not mine.path("tmp").exists():
                    problems.append(mine.token)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert _names(tmp_path) == []
