"""Reads a `.npy` file's numbers from untrusted bytes: nothing is executed or unpickled, and declared sizes allocate
no memory.
"""

from __future__ import annotations

import math
import re
from typing import Literal, NamedTuple

import numpy as np

from stars.data.readers import unreadable

MAGIC = b"\x93NUMPY"
LONGEST_HEADER = 1_000  # bytes; NumPy itself writes 128
BEGINNING = LONGEST_HEADER + 12  # bytes that contain any header
_ENTRY = re.compile(rb"\s*'(\w+)'\s*:\s*('[^']*'|True|False|\((?:\s*\d+\s*,)*(?:\s*\d+)?\s*\))\s*(?:,|(?=\}))")
_NUMBERS = re.compile(rb"'([<>=|]?(?:f[248]|[iu][1248]))'")


class Header(NamedTuple):
    """Header of an array, and the offset at which its numbers begin."""

    dtype: np.dtype
    order: Literal["C", "F"]
    shape: tuple[int, ...]
    end: int

    @property
    def declared(self) -> int:
        """Bytes of numbers that should follow."""
        return math.prod(self.shape) * self.dtype.itemsize


def numbers(data: bytes, source: str) -> np.ndarray:
    """The file's array, not copied: integers or floating-point numbers of either byte order, at least one.

    Raises:
        InputError: file, expected and found.
    """
    found = header(data, source)
    check_size(found, len(data), source)
    return np.frombuffer(data, found.dtype, offset=found.end).reshape(found.shape, order=found.order)


def check_size(found: Header, size: int, source: str) -> None:
    """InputError unless a file of `size` bytes has the numbers that its header declares, at least one."""
    if 0 in found.shape:
        unreadable(source, None, "an array with numbers in it", str(found.shape))
    if found.declared != size - found.end:
        unreadable(source, None, f"{found.declared} bytes of numbers for {found.shape}", str(size - found.end))


def header(data: bytes, source: str) -> Header:
    """Parse the header of a file from its first `BEGINNING` bytes, or all of them.

    It consists of magic, version, length and a Python dict, which is matched as text and never evaluated.
    """
    start = 10 if data[6:7] == b"\1" else 12
    if not data.startswith(MAGIC) or data[6:7] not in (b"\1", b"\2", b"\3") or len(data) < start:
        unreadable(source, None, "a .npy file", data[:8])
    length = int.from_bytes(data[8:start], "little")
    if length > min(LONGEST_HEADER, len(data) - start):
        unreadable(source, None, f"a header of at most {min(LONGEST_HEADER, len(data) - start)} bytes", str(length))
    text = data[start : start + length]
    entries = dict(_ENTRY.findall(text))
    if _ENTRY.sub(b"", text).split() not in ([b"{}"], [b"{", b"}"]) or set(entries) != {
        b"descr",
        b"fortran_order",
        b"shape",
    }:
        unreadable(source, None, "the header of a plain array", text)
    kind = _NUMBERS.fullmatch(entries[b"descr"])
    if not kind or entries[b"fortran_order"] not in (b"True", b"False") or not entries[b"shape"].startswith(b"("):
        unreadable(source, None, "an array of numbers", text)
    shape = tuple(map(int, re.findall(rb"\d+", entries[b"shape"])))
    return Header(
        np.dtype(kind.group(1).decode()), "F" if entries[b"fortran_order"] == b"True" else "C", shape, start + length
    )
