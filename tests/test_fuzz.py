"""A short run of tests/fuzz.py, and counts that promise what is not there."""

import struct
import tracemalloc
import warnings
import zlib

import fuzz
import pytest

from stars.data.readers import mat
from stars.data.simulate.layouts.utd_mhad import HEAD
from stars.errors import InputError

BILLION = 10**9


@pytest.mark.parametrize("name", fuzz.formats())
def test_whole_files_are_read_and_damaged_ones_refused_by_inputerror_alone(name, tmp_path, capsys):
    assert {fuzz.attempt(name, *whole) for whole in fuzz.formats()[name].good} == {"clips"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fuzz.run(name, 250, 0, tmp_path), capsys.readouterr().out
    assert "250 of 250 files" in capsys.readouterr().out


def test_a_failing_input_is_kept_and_comes_again(tmp_path, monkeypatch, capsys):
    def fragile(name: str, data: bytes) -> None:
        if b"NaN" in data:
            raise KeyError("NaN")

    whole = fuzz.formats()["nw_ucla"].good
    monkeypatch.setitem(fuzz.formats(), "nw_ucla", fuzz.Format(whole, fragile))
    assert not fuzz.run("nw_ucla", 1000, 3, tmp_path)
    shown, (kept,) = capsys.readouterr().out, tmp_path.iterdir()
    assert "KeyError: 'NaN'" in shown and str(kept) in shown
    number = int(kept.stem.split("-")[2])
    assert fuzz.damaged("nw_ucla", number, 3)[1] == kept.read_bytes() and b"NaN" in kept.read_bytes()


def binary(name: str, at: int, number: int) -> bytes:
    """The first whole file of a format with a 32-bit count in it changed."""
    data = bytearray(fuzz.formats()[name].good[0][1])
    struct.pack_into("<I", data, at, number)
    return bytes(data)


def packed(content: bytes) -> bytes:
    """A MATLAB file of one compressed element."""
    data = zlib.compress(content, 9)
    return HEAD + struct.pack("<II", 15, len(data)) + data


def array(shape: str) -> bytes:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + bytes(240)


NTU = fuzz.formats()["ntu"].good[0][1]
DECLARED = {
    "frames": ("ntu", lambda: NTU.replace(NTU.split(b"\n")[0], b"%d" % BILLION, 1)),
    "bodies": ("ntu", lambda: b"3\n%d\n" % BILLION + b"".join(NTU.splitlines(keepends=True)[2:])),
    "joints": ("ntu", lambda: NTU.replace(b"\n25\n", b"\n%d\n" % BILLION, 1)),
    "bytes of an element": ("utd_mhad", lambda: binary("utd_mhad", 196, 4 * BILLION)),
    "frames of a matrix": ("utd_mhad", lambda: binary("utd_mhad", 168, BILLION)),
    "cells": ("utd_mhad", lambda: binary("utd_mhad", 144, 1)[:168] + struct.pack("<I", BILLION) + bytes(2000)),
    "a zlib bomb": ("utd_mhad", lambda: packed(bytes(8 * 2**20))),
    "frames of an array": ("npy", lambda: array(f"({BILLION}, 3, 3)")),
    "frames without joints": ("npy", lambda: array(f"({BILLION}, 0, 3)")),
    "a header": ("npy", lambda: b"\x93NUMPY\2\0" + struct.pack("<I", BILLION) + b"{"),
    "brackets": ("nw_ucla", lambda: b'{"file_name": "a", "label": 1, "skeletons": ' + b"[" * 100_000),
    "a number of many digits": (
        "nw_ucla",
        lambda: b'{"file_name": "a", "label": 1, "skeletons": [' + b"9" * 100_000 + b"]}",
    ),
}


@pytest.mark.parametrize("what", DECLARED)
def test_a_declared_count_allocates_nothing(what, monkeypatch):
    monkeypatch.setattr(mat, "LARGEST", 2**20)
    name, make = DECLARED[what]
    data, (file, _) = make(), fuzz.formats()[name].good[0]
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="expected"):
            fuzz.formats()[name].read(file, data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * 2**20, peak
