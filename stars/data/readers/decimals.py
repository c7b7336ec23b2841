"""Decimal numbers in a byte buffer, converted a character column at a time for all of them at once.

Exact: at most 15 digits are a whole number below 2^53 and a power of ten up to 10^22 is a float64 without rounding, so their
quotient is the correctly rounded value, which is what float(text) gives (Clinger 1990, "How to read floating point numbers accurately").
"""

from __future__ import annotations

import numpy as np

MOST_CHARACTERS = 16  # 15 digits and a point
_POWERS = 10.0 ** np.arange(MOST_CHARACTERS + 1)
_ZERO, _POINT, _MINUS = np.uint8(ord("0")), np.uint8((ord(".") - ord("0")) % 256), np.uint8(ord("-"))


def _keep_freed_memory() -> None:
    """Have glibc keep freed memory, up to 32 MiB: it keeps twice what it last saw a large block free (mallopt(3), M_TRIM_THRESHOLD).

    Else it returns every array's pages to the system, which hands out zeroed ones for the next: as dear as all the arithmetic.
    """
    np.empty(1 << 24, np.uint8)


_keep_freed_memory()


def decimals(text: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values of the numbers text[starts[i]:ends[i]].

    Args:
        text: (bytes,) uint8; starts, ends: (n,) int, positions in it; as text[ends[i]] exists, every number is followed by something.

    Returns:
        values (n,) float64, and plain (n,) bool: whether the number has this module's form, [-]digits[.digits] of at most 15 digits.
        The value of one that is not plain means nothing; whoever calls converts it another way.
    """
    negative = text.take(starts, mode="clip") == _MINUS
    starts = starts + negative
    length = np.minimum(ends - starts, MOST_CHARACTERS + 1).astype(np.uint8)
    value = np.zeros(len(starts))
    digits, points, decimal_places = np.zeros((3, len(starts)), np.uint8)
    for column in range(min(int(length.max(initial=0)), MOST_CHARACTERS)):
        character = text[column:].take(starts, mode="clip") - _ZERO
        inside = length > column
        digit = (character < 10) & inside
        np.multiply(value, 10.0, out=value, where=digit)
        np.add(value, character, out=value, where=digit)
        digits += digit
        points += (character == _POINT) & inside
        decimal_places += digit & (points > 0)
    plain = (digits + points == length) & (points <= 1) & (digits >= 1) & (digits <= 15)
    value /= _POWERS.take(decimal_places)
    return np.where(negative, -value, value), plain
