"""Reads an array of numbers from a MATLAB file of untrusted bytes: declared sizes allocate no memory.

Level-5 MAT-files as described in MathWorks' "MAT-File Format". A general reader builds whatever a file declares: 10^9
cells declared in 500 bytes take it gigabytes and minutes.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from itertools import islice

import numpy as np

from stars.data.readers import unreadable

HEAD = 128
LARGEST = 64 * 2**20  # bytes of all compressed variables in the file
MOST_PARTS = 4  # of a variable of real numbers: flags, shape, name, numbers
# types of elements
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_MATRIX, _COMPRESSED = 14, 15
_NUMERIC_CLASSES, _COMPLEX = range(6, 16), 0x800


class _Damaged(ValueError):
    """The file contradicts its own headers."""


def variable(data: bytes, source: str, name: str) -> np.ndarray:
    """The file's array of that name, in its MATLAB shape.

    Raises:
        InputError: file, expected and found.
    """
    order = {b"IM": "<", b"MI": ">"}.get(data[126:HEAD])
    if not data.startswith(b"MATLAB 5.0 MAT-file") or order is None:
        unreadable(source, 1, "a MATLAB 5.0 MAT-file", data[:20])
    try:
        found = _named(name, memoryview(data)[HEAD:], order)
    except (_Damaged, zlib.error, struct.error) as error:
        unreadable(source, None, "a whole MATLAB file", str(error))
    if found is None:
        unreadable(source, None, f"a variable {name}", "none")
    return found


def _named(name: str, content: memoryview, order: str) -> np.ndarray | None:
    for matrix in _matrices(content, order):
        parts = [*islice(_elements(matrix, order), MOST_PARTS + 1)]
        if len(parts) >= 3 and bytes(parts[2][1]) == name.encode("ascii"):
            return _array(parts, order)
    return None


def _matrices(content: memoryview, order: str) -> Iterator[memoryview]:
    """Contents of the file's variables, decompressed."""
    left = LARGEST
    for kind, element in _elements(content, order):
        if kind == _MATRIX:
            yield element
        elif kind == _COMPRESSED:
            inflater = zlib.decompressobj()
            inflated = inflater.decompress(element, left)
            if not inflater.eof:
                raise _Damaged(f"compressed variables that are truncated or larger than {LARGEST} bytes")
            left -= len(inflated)
            yield from (inner for kind, inner in _elements(memoryview(inflated), order) if kind == _MATRIX)


def _elements(content: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Iterate over data elements: type and content."""
    at = 0
    while at < len(content):
        kind, size = struct.unpack_from(f"{order}II", content, at)
        if kind >> 16:  # up to 4 bytes, stored beside the type
            yield kind & 0xFFFF, content[at + 4 : at + 4 + min(kind >> 16, 4)]
            at += 8
            continue
        if size > len(content) - at - 8:
            raise _Damaged(f"an element of {size} bytes, of which the file contains {len(content) - at - 8}")
        yield kind, content[at + 8 : at + 8 + size]
        at += 8 + size + (0 if kind == _COMPRESSED else -size % 8)


def _array(parts: list[tuple[int, memoryview]], order: str) -> np.ndarray:
    """The numbers of a variable made of flags, shape, name and real part."""
    (flags,) = struct.unpack_from(f"{order}I", parts[0][1])
    if (
        flags & 0xFF not in _NUMERIC_CLASSES
        or flags & _COMPLEX
        or len(parts) != MOST_PARTS
        or parts[3][0] not in _NUMBERS
    ):
        raise _Damaged("something other than an array of real numbers")
    shape = struct.unpack(f"{order}{len(parts[1][1]) // 4}i", parts[1][1])
    kind, content = parts[3]
    dtype = np.dtype(order + _NUMBERS[kind])
    if len(shape) > 32 or min(shape, default=0) < 1 or math.prod(shape) * dtype.itemsize != len(content):
        raise _Damaged(f"{len(content)} bytes of numbers for the shape {shape}")
    return np.frombuffer(content, dtype).reshape(shape, order="F")
