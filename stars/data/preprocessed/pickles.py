"""Reads pickles of plain data from untrusted files: nothing named in a pickle is imported or called.

A pickle is a program for a stack machine, described in `pickletools` of the standard library. This machine implements
the instructions for numbers, strings, tuples, lists and dicts. It recognises the calls by which NumPy and Python store
an array, its dtype, a single number and bytes, and records their results; it refuses any other call. Protocols 2 to 5
are supported.

Payloads longer than a name stay in the file: an array of gigabytes is represented by its location until it is read.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from stars.data.readers import unreadable

LONGEST_NAME = 1 << 12  # bytes; longer payloads stay in the file
MOST = 20_000_000  # instructions; the largest data set takes about 5 million
_KINDS = {"b1", "f2", "f4", "f8", *(f"{sign}{size}" for sign in "iu" for size in (1, 2, 4, 8))}
_BAD = (LookupError, ValueError, TypeError, OverflowError, struct.error)


class _Refused(Exception):
    """The pickle contains something other than plain data."""


@dataclass(frozen=True)
class Payload:
    """Bytes that stay in the file; text: stored as a UTF-8 string whose characters are the bytes, as in protocol 2."""

    start: int
    size: int
    text: bool = False

    def read(self, file: BinaryIO) -> bytes:
        file.seek(self.start)
        data = file.read(self.size)
        return data.decode().encode("latin-1") if self.text else data


@dataclass
class Array:
    """An array of numbers, as described in the pickle."""

    dtype: np.dtype | None = None
    shape: tuple[int, ...] = ()
    order: str = "C"
    axes: tuple[int, ...] | None = None  # permutation applied to a C-contiguous array
    data: bytes | Payload = b""

    def read(self, file: BinaryIO, source: str) -> np.ndarray:
        """Read its numbers as a read-only array; InputError if their count does not match the shape."""
        declared = math.prod(self.shape) * (0 if self.dtype is None else self.dtype.itemsize)
        try:
            data = self.data.read(file) if isinstance(self.data, Payload) else self.data
        except ValueError:
            unreadable(source, None, "bytes of numbers", "text")
        if len(data) != declared or self.dtype is None:
            unreadable(source, None, f"{declared} bytes of numbers for {self.shape}", str(len(data)))
        x = np.frombuffer(data, self.dtype)
        if self.axes is None:
            return x.reshape(self.shape, order="F" if self.order == "F" else "C")
        return x.reshape([self.shape[self.axes.index(axis)] for axis in range(len(self.axes))]).transpose(self.axes)


@dataclass(frozen=True)
class _Name:
    """A name that unpickling would import."""

    name: str


@dataclass
class _Type:
    """A dtype; its byte order follows it in the pickle."""

    kind: str
    order: str = "="

    def dtype(self) -> np.dtype:
        return np.dtype(self.order + self.kind)


def load(file: BinaryIO, source: str) -> Any:
    """Load a pickle of None, bool, int, float, str, bytes, tuple, list, dict, `Array` and `Payload`.

    Raises:
        InputError: the pickle is truncated, or would create or call anything else.
    """
    try:
        return _Machine(file).run()
    except _Refused as refused:
        unreadable(source, None, "a pickle of numbers, strings, lists, dicts and arrays only", str(refused))
    except _BAD as error:
        unreadable(source, None, "a whole pickle of protocol 2 to 5", f"{type(error).__name__}: {error}")


class _Machine:
    """The stack machine: stack, stacks below each mark, and memo."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.stack, self.below, self.memo = file, [], [], {}  # type: ignore[var-annotated]
        self.size = file.seek(0, 2)
        file.seek(0)

    def run(self) -> Any:
        if self.file.read(1) != b"\x80" or self.number(1) not in (2, 3, 4, 5):
            raise ValueError("unknown first bytes")
        for _ in range(MOST):
            code = self.file.read(1)
            if code == b".":
                return self.stack.pop()
            if code not in _DO:
                raise _Refused(f"instruction {code!r}") if code else ValueError("the end of the file")
            _DO[code](self)
        raise ValueError(f"more than {MOST} instructions")

    def take(self, size: int) -> bytes:
        data = self.file.read(size) if size <= LONGEST_NAME else b""
        if len(data) != size:
            raise ValueError("the end of the file")
        return data

    def skip(self, size: int) -> None:
        self.take(size)

    def number(self, size: int, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "little", signed=signed)

    def payload(self, size_bytes: int, text: bool) -> bytes | Payload:
        """A payload preceded by its size: the bytes of a name, otherwise its location."""
        size = self.number(size_bytes)
        if size <= LONGEST_NAME:
            return self.take(size)
        start = self.file.tell()
        if size > self.size - start:
            raise ValueError("the end of the file")
        self.file.seek(size, 1)
        return Payload(start, size, text)

    def line(self) -> str:
        line = self.file.readline(200)
        if not line.endswith(b"\n"):
            raise ValueError("an unterminated name")
        return line[:-1].decode("ascii")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def since_mark(self) -> list[Any]:
        values, self.stack = self.stack, self.below.pop()
        return values


def _text(machine: _Machine, size_bytes: int) -> None:
    found = machine.payload(size_bytes, text=True)
    machine.push(found.decode() if isinstance(found, bytes) else found)


def _old_text(machine: _Machine, size_bytes: int) -> None:
    """A string of Python 2, which is text or bytes."""
    found = machine.payload(size_bytes, text=False)
    machine.push(found.decode("latin-1") if isinstance(found, bytes) else found)


def _global(machine: _Machine, module: str, name: str) -> None:
    if not isinstance(module, str) or not isinstance(name, str) or not (module + name).isprintable():
        raise _Refused("a name that is not text")
    module = {"__builtin__": "builtins"}.get(module, module.replace("numpy._core.", "numpy.core."))
    machine.push(_Name(f"{module}.{name}"))


def _stack_global(machine: _Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    _global(machine, module, name)


def _extend(machine: _Machine, values: list[Any]) -> None:
    if type(machine.stack[-1]) is not list:
        raise _Refused("items for something other than a list")
    machine.stack[-1].extend(values)


def _set(machine: _Machine, values: list[Any]) -> None:
    held = machine.stack[-1]
    if type(held) is not dict or len(values) % 2 or not all(isinstance(key, str | int | float) for key in values[::2]):
        raise _Refused("dict keys that are neither text nor numbers")
    held.update(zip(values[::2], values[1::2], strict=True))


def _tuple(machine: _Machine, length: int) -> None:
    values = tuple(machine.stack[-length:])
    if len(values) < length:
        raise ValueError("too few items for a tuple")
    machine.stack[-length:] = [values]


def _reduce(machine: _Machine) -> None:
    arguments, called = machine.stack.pop(), machine.stack.pop()
    name = called.name if isinstance(called, _Name) else type(called).__name__
    if name not in _CALLS or type(arguments) is not tuple:
        raise _Refused(f"a call of {name}")
    machine.push(_CALLS[name](*arguments))


def _build(machine: _Machine) -> None:
    """Apply the state that NumPy stores for a dtype or an array."""
    state, made = machine.stack.pop(), machine.stack[-1]
    if isinstance(made, _Type) and type(state) is tuple and state[1] in ("<", ">", "=", "|") and not any(state[2:5]):
        made.order = state[1]
    elif isinstance(made, Array) and type(state) is tuple:
        _, shape, kind, fortran, data = state
        _describe(made, data, kind, shape, "F" if fortran else "C")
    else:
        raise _Refused("a state of something other than an array")


def _describe(array: Array, data: Any, kind: Any, shape: Any, order: Any) -> Array:
    if not isinstance(kind, _Type) or not isinstance(data, bytes | str | Payload):
        raise _Refused("an array of something other than numbers")
    if type(shape) is not tuple or not all(type(side) is int and side >= 0 for side in shape) or len(shape) > 8:
        raise ValueError("an array without a shape")
    array.dtype, array.shape, array.order = kind.dtype(), shape, order
    array.data = data.encode("latin-1") if isinstance(data, str) else data
    return array


def _buffer(data: Any, kind: Any, shape: Any, order: Any, axes: Any = None) -> Array:
    array = _describe(Array(), data, kind, shape, order)
    if axes is not None and sorted(axes) != list(range(len(shape))):
        raise ValueError("an array with other axes")
    if axes is not None and order == "K":
        array.axes, array.shape = tuple(axes), tuple(shape[axis] for axis in axes)
    return array


def _blank(kind: Any, *_: Any) -> Array:
    if kind != _Name("numpy.ndarray"):
        raise _Refused("an array of another class")
    return Array()


def _type(kind: Any, *_: Any) -> _Type:
    if kind not in _KINDS:
        raise _Refused("an array of something other than numbers")
    return _Type(kind)


def _scalar(kind: Any, data: Any) -> int | float:
    if not isinstance(kind, _Type) or not isinstance(data, bytes | str):
        raise _Refused("a number of another kind")
    (value,) = np.frombuffer(data.encode("latin-1") if isinstance(data, str) else data, kind.dtype()).tolist()
    return value


def _encode(text: Any, encoding: Any) -> bytes | Payload:
    if encoding not in ("latin1", "latin-1") or not isinstance(text, str | Payload):
        raise _Refused("an encoding of something other than bytes")
    return text.encode("latin-1") if isinstance(text, str) else text


_CALLS: dict[str, Callable[..., Any]] = {
    "numpy.core.multiarray._reconstruct": _blank,
    "numpy.core.numeric._frombuffer": _buffer,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy.dtype": _type,
    "_codecs.encode": _encode,
    "builtins.bytes": lambda: b"",
}


def _mark(machine: _Machine) -> None:
    machine.below.append(machine.stack)
    machine.stack = []


def _keep(machine: _Machine, key: int) -> None:
    machine.memo[key] = machine.stack[-1]


_DO: dict[bytes, Callable[[_Machine], None]] = {
    b"\x95": lambda m: m.skip(8),  # size of the frame that follows, not needed
    b"(": _mark,
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"K": lambda m: m.push(m.number(1)),
    b"M": lambda m: m.push(m.number(2)),
    b"J": lambda m: m.push(m.number(4, signed=True)),
    b"\x8a": lambda m: m.push(m.number(m.number(1), signed=True)),
    b"G": lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    b"X": lambda m: _text(m, 4),
    b"\x8c": lambda m: _text(m, 1),
    b"\x8d": lambda m: _text(m, 8),
    b"U": lambda m: _old_text(m, 1),
    b"T": lambda m: _old_text(m, 4),
    b"B": lambda m: m.push(m.payload(4, text=False)),
    b"C": lambda m: m.push(m.payload(1, text=False)),
    b"\x8e": lambda m: m.push(m.payload(8, text=False)),
    b"\x96": lambda m: m.push(m.payload(8, text=False)),
    b")": lambda m: m.push(()),
    b"t": lambda m: m.push(tuple(m.since_mark())),
    b"\x85": lambda m: _tuple(m, 1),
    b"\x86": lambda m: _tuple(m, 2),
    b"\x87": lambda m: _tuple(m, 3),
    b"]": lambda m: m.push([]),
    b"a": lambda m: _extend(m, [m.stack.pop()]),
    b"e": lambda m: _extend(m, m.since_mark()),
    b"}": lambda m: m.push({}),
    b"s": lambda m: _set(m, [m.stack.pop(-2), m.stack.pop()]),
    b"u": lambda m: _set(m, m.since_mark()),
    b"q": lambda m: _keep(m, m.number(1)),
    b"r": lambda m: _keep(m, m.number(4)),
    b"\x94": lambda m: _keep(m, len(m.memo)),
    b"h": lambda m: m.push(m.memo[m.number(1)]),
    b"j": lambda m: m.push(m.memo[m.number(4)]),
    b"c": lambda m: _global(m, m.line(), m.line()),
    b"\x93": _stack_global,
    b"R": _reduce,
    b"b": _build,
}
