"""Formats whole arrays of numbers as digits, ten times as fast as Python's formatting."""

from __future__ import annotations

import numpy as np

DIGITS = 8
_FOURS = np.frombuffer("".join(f"{n:04d}" for n in range(10_000)).encode(), np.uint32)
_POINT, _MINUS, _SPACE = b".- "


def decimals(values: np.ndarray, places: int) -> np.ndarray:
    """(rows, columns) numbers below 10^(8 − places) as (rows, bytes) text, each followed by a space; the caller must
    drop zero bytes.
    """
    rows, columns = values.shape
    whole = DIGITS - places
    number = np.rint(np.abs(values) * 10.0**places).astype(np.int64)
    digits = np.stack([_FOURS[number // 10_000], _FOURS[number % 10_000]], -1).view(np.uint8)
    text = np.empty((rows, columns, DIGITS + 3), np.uint8)
    text[..., 0] = np.where((values < 0) & (number > 0), _MINUS, 0)
    text[..., 1 : whole + 1] = digits[..., :whole]
    for place in range(whole - 1):  # drop leading zeros
        text[..., place + 1][number < 10 ** (DIGITS - 1 - place)] = 0
    text[..., whole + 1] = _POINT
    text[..., whole + 2 : -1] = digits[..., whole:]
    text[..., -1] = _SPACE
    return text.reshape(rows, -1)
