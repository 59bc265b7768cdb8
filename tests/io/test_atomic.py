import os
import stat
import threading
from pathlib import Path

import pytest

from unbatch._check import InputError
from unbatch.io.atomic import replacing


def _write(path, text="new", **options):
    with replacing(path, **options) as temporary:
        temporary.write_text(text)


def _mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_appears_at_the_end_with_the_usual_permissions(tmp_path):
    usual = tmp_path / "usual"
    usual.touch()
    path = tmp_path / "out.h5ad"
    with replacing(path) as temporary:
        assert temporary.parent == tmp_path
        assert _mode(temporary) == 0o600
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert _mode(path) == _mode(usual)
    assert sorted(tmp_path.iterdir()) == [path, usual]


def test_a_replaced_file_keeps_its_permissions(tmp_path):
    path = tmp_path / "out.h5ad"
    path.write_text("old")
    path.chmod(0o640)
    _write(path)
    assert (path.read_text(), _mode(path)) == ("new", 0o640)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("folder", [False, True])
def test_whatever_is_raised_leaves_the_old_output(tmp_path, error, folder):
    path = tmp_path / "out.zarr"
    if folder:
        path.mkdir()
        (path / ".zgroup").write_text("old")
    else:
        path.write_text("old")

    def fail():
        with replacing(path, folder=folder) as temporary:
            (temporary / "part" if folder else temporary).write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert ((path / ".zgroup") if folder else path).read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("folder", [False, True])
def test_nothing_takes_its_place_once_the_process_is_to_end(tmp_path, monkeypatch, folder):
    """A library may have swallowed the interruption."""
    asked = threading.Event()
    monkeypatch.setattr("unbatch.io.atomic.asked", asked)
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "out", folder=folder):
        asked.set()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence(tmp_path):
    def fill():
        with replacing(tmp_path / "out.h5ad"):
            raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match="could not be written: No space left on device"):
        fill()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_swapped(tmp_path):
    path = tmp_path / "out.zarr"
    for text in ("old", "new"):
        with replacing(path, folder=True) as temporary:
            assert _mode(temporary) == 0o700
            (temporary / ".zgroup").write_text(text)
            (temporary / text).touch()
    assert sorted(entry.name for entry in path.iterdir()) == [".zgroup", "new"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_swapped_where_the_file_system_cannot(tmp_path, monkeypatch):
    monkeypatch.setattr("unbatch.io.atomic._swap", lambda *_: False)
    test_a_folder_is_swapped(tmp_path)


def test_a_folder_is_never_missing(tmp_path, monkeypatch):
    """The old one takes the place of the new one in the same step."""
    path = tmp_path / "out.zarr"
    for text in ("old", "new"):
        with replacing(path, folder=True) as temporary:
            (temporary / ".zgroup").write_text(text)
            monkeypatch.setattr(Path, "rename", None)
    assert (path / ".zgroup").read_text() == "new"


def test_an_output_inside_an_input_is_refused(tmp_path):
    (tmp_path / "in.zarr").mkdir()
    (tmp_path / "in.zarr" / ".zgroup").write_text("{}")
    (tmp_path / "link").symlink_to("in.zarr")
    with pytest.raises(InputError, match="lies in the input"):
        _write(tmp_path / "link" / "out.h5ad", inputs=[tmp_path / "in.zarr"])
    assert [entry.name for entry in (tmp_path / "in.zarr").iterdir()] == [".zgroup"]


def test_a_failed_swap_puts_the_old_folder_back(tmp_path, monkeypatch):
    path = tmp_path / "out.zarr"
    path.mkdir()
    (path / ".zgroup").write_text("old")
    original = Path.rename

    def rename(self, target):
        if self.suffix == ".tmp":
            raise OSError(5, "Input/output error")
        return original(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    monkeypatch.setattr("unbatch.io.atomic._swap", lambda *_: False)

    def write():
        with replacing(path, folder=True) as temporary:
            (temporary / ".zgroup").write_text("new")

    with pytest.raises(InputError, match="Input/output error"):
        write()
    assert (path / ".zgroup").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("how", ["same", "relative", "symlink", "hardlink"])
def test_an_input_is_never_overwritten(tmp_path, monkeypatch, how):
    source = tmp_path / "in.h5ad"
    source.write_text("input")
    output = tmp_path / "out.h5ad"
    if how == "same":
        output = source
    elif how == "relative":
        monkeypatch.chdir(tmp_path)
        output = Path("../" + tmp_path.name + "/in.h5ad")
    elif how == "symlink":
        output.symlink_to(source)
    else:
        os.link(source, output)
    with pytest.raises(InputError, match=r"is the input .*never overwritten"):
        _write(output, inputs=[tmp_path / "other", source])
    assert source.read_text() == "input"


def test_a_folder_that_holds_an_input_is_not_replaced(tmp_path):
    (tmp_path / "out.zarr").mkdir()
    (tmp_path / "out.zarr" / "in.h5ad").write_text("input")
    with pytest.raises(InputError, match="is the input"):
        _write(tmp_path / "out.zarr", inputs=[tmp_path / "out.zarr" / "in.h5ad"], folder=True)


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real.h5ad").write_text("old")
    (tmp_path / "link.h5ad").symlink_to("real.h5ad")
    _write(tmp_path / "link.h5ad")
    assert (tmp_path / "link.h5ad").is_symlink()
    assert (tmp_path / "real.h5ad").read_text() == "new"


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"there is no folder .*nowhere, make it first"):
        _write(tmp_path / "nowhere" / "out.h5ad")


def test_files_and_folders_do_not_replace_each_other(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").touch()
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="not a regular file"):
        _write(tmp_path / "folder")
    with pytest.raises(InputError, match="is a file and a folder is to be written"):
        _write(tmp_path / "file", folder=True)
    with pytest.raises(InputError, match="is a folder but no zarr store"):
        _write(tmp_path / "folder", folder=True)
    assert (tmp_path / "folder" / "thesis.tex").exists()
