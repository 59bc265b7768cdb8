import os

import h5py
import numpy as np
import pytest

from unbatch.io.hdf5_output import SafeFile, writing_hdf5


def _fill(file):
    rng = np.random.default_rng(1)
    for number in range(20):
        values = rng.integers(0, 9, size=3000)
        file.create_dataset(f"folder{number % 3}/{number}", data=values, compression="gzip", chunks=(500,))
        file[f"folder{number % 3}"].attrs[f"note{number}"] = "text" * number


def test_it_holds_what_h5py_would_have_written(tmp_path):
    with writing_hdf5(tmp_path / "a") as (file, beneath):
        _fill(file)
        beneath.check()
    with h5py.File(tmp_path / "b", "w") as file:
        _fill(file)
    seen = []

    def compare(name, element):
        seen.append(name)
        assert dict(element.attrs) == dict(there[name].attrs)
        if isinstance(element, h5py.Dataset):
            np.testing.assert_array_equal(element[:], there[name][:])

    with h5py.File(tmp_path / "a") as here, h5py.File(tmp_path / "b") as there:
        here.visititems(compare)
    assert len(seen) == 23
    assert abs((tmp_path / "a").stat().st_size - (tmp_path / "b").stat().st_size) < 5000


def test_wherever_the_disk_runs_full_the_file_is_closed_and_the_reason_told(tmp_path, file_size_limit):
    with writing_hdf5(tmp_path / "whole") as (file, _):
        _fill(file)
    size = (tmp_path / "whole").stat().st_size
    for limit in range(0, size, size // 20):
        with file_size_limit(limit), pytest.raises(OSError, match="File too large"):  # noqa: PT012, SIM117
            with writing_hdf5(tmp_path / "part") as (file, beneath):
                _fill(file)
                file.flush()
                np.testing.assert_array_equal(file["folder0/0"][:3], h5py.File(tmp_path / "whole")["folder0/0"][:3])
                with pytest.raises(OSError, match="File too large"):
                    beneath.check()
        assert (tmp_path / "part").stat().st_size <= limit


def test_what_was_lost_is_read_back(tmp_path, file_size_limit):
    with SafeFile(tmp_path / "a") as file:
        file.write(b"0123")
        with file_size_limit(6):
            file.write(b"456789")
            file.seek(-3, os.SEEK_END)
            file.write(b"abc")
            file.seek(2)
            content = bytearray(10)
            assert file.readinto(content) == 10
            assert content == b"23456abc\0\0"
            assert file.tell() == 12
            with pytest.raises(OSError, match="File too large"):
                file.check()
    assert (tmp_path / "a").read_bytes() == b"012345"
