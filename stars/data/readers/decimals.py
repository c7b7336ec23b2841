"""Parses the first three decimal numbers of many lines at once, eight characters in one 64-bit word.

The result is exact: at most 14 digits form a whole number below 2^53, and powers of ten up to 10^22 are exact in
float64, so their quotient is the correctly rounded value, as from float(text) (Clinger 1990, "How to read floating
point numbers accurately").
"""

from __future__ import annotations

import numpy as np

NUMBERS = 3
LONGEST = 15  # characters of a number without its sign: 14 digits and a point
_WORD = np.dtype("<u8")  # eight characters, the first in the lowest byte
_POWERS = 10.0 ** np.arange(LONGEST + 1)


def _keep_freed_memory() -> None:
    """Make glibc keep up to 32 MiB of freed memory: it keeps twice the last large block freed (mallopt(3),
    M_TRIM_THRESHOLD).

    Otherwise it returns every array's pages to the system, and zeroing new ones costs as much as all the arithmetic.
    """
    np.empty(1 << 24, np.uint8)


_keep_freed_memory()


class Marks:
    """Positions of a character in a text as a bit map, which is cheaper than a list.

    Args:
        text: (bytes,) uint8; character: one of ASCII.
    """

    def __init__(self, text: np.ndarray, character: str):
        bits = np.packbits(text == ord(character), bitorder="little")
        self._words = np.zeros(len(bits) // 8 + 2, _WORD)
        self._words.view(np.uint8)[: len(bits)] = bits

    def before(self, at: np.ndarray) -> np.ndarray:
        """Number of marks before each position, int64."""
        whole = np.concatenate([[0], np.cumsum(np.bitwise_count(self._words), dtype=np.int64)])
        word, lower = at >> 6, (np.uint64(1) << (at & 63).astype(np.uint64)) - np.uint64(1)
        return whole[word] + np.bitwise_count(self._words[word] & lower)

    def ahead(self, at: np.ndarray) -> np.ndarray:
        """uint64 per position: bit i is set if the i-th following character is a mark, for i < 57; higher bits may
        be missing.
        """
        octets = np.ndarray((8 * len(self._words) - 7,), _WORD, self._words, strides=(1,))
        return octets[at >> 3] >> (at & 7).astype(np.uint64)


def leading(text: np.ndarray, starts: np.ndarray, spaces: Marks, points: Marks) -> tuple[np.ndarray, np.ndarray]:
    """Parse the first three numbers of each line, each followed by a space.

    Args:
        text: (bytes,) uint8, at least 16 if there are lines; starts: (n,) int64, start of each line; spaces, points:
            their marks in the text.

    Returns:
        values (n, 3) float64, and plain (n,) bool: whether all three are [-]digits.digits, of 14 digits at most, beyond
        the text's first 16 bytes. Values of other lines are undefined; the caller must parse them otherwise.
    """
    point, end, plain = _separators(spaces.ahead(starts), points.ahead(starts))
    point, end = point + starts, np.clip(end + starts, 16, len(text))
    first = np.concatenate([starts[None], end[:-1] + 1])
    negative = text.take(first, mode="clip") == ord("-")
    length, places = (end - first - negative).view(np.uint64), (end - point - 1).view(np.uint64)
    windows = np.ndarray((max(len(text) - 15, 0),), "V16", text, strides=(1,))  # any 16 bytes of the text
    characters = windows[end - 16].view(_WORD).reshape(*end.shape, 2)
    high, high_plain = _digits(characters[..., 0], length - np.uint64(8), places - np.uint64(8))
    low, low_plain = _digits(characters[..., 1], np.minimum(length, np.uint64(8)), places)
    plain &= high_plain & low_plain & (length > 1) & (length <= LONGEST)
    power = _POWERS.take(places.view(np.int64), mode="clip")
    value = high * 1e8 + low  # with a 0 for the point, so that digits before it count ten times too much
    value -= np.floor(value / (10 * power)) * (9 * power)
    value /= power
    return np.where(negative, -value, value).T, np.all(plain, axis=0)


def _separators(spaces: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """From the marks (n,) of each line: positions of three points and of the spaces after them, and whether they
    alternate, all (3, n).
    """
    marks = spaces | points
    lowest = np.empty((2 * NUMBERS, len(marks)), np.uint64)
    for row in lowest:
        np.bitwise_and(marks, -marks, out=row)
        marks = marks ^ row
    place = np.bitwise_count(lowest - np.uint64(1)).astype(np.int64)
    return place[::2], place[1::2], (lowest[::2] & points != 0) & (lowest[1::2] & spaces != 0)


def _digits(words: np.ndarray, length: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers of up to eight digits, and whether all characters are digits.

    Args:
        words: uint64, eight characters each; length: how many of them, from the last, belong to the number; places: how
            many, from the last, come before the point, which counts as 0. Both uint64: values that wrap below 0 mean
            none of the word's characters.
    """
    eight, words = np.uint64(8), words ^ np.uint64(0x3030303030303030)  # digits become 0 to 9
    words &= ~(np.uint64(0xFF << 56) >> places * eight) & (np.uint64(2**64 - 1) << np.uint64(64) - length * eight)
    # 10 + 0x76 sets the highest bit
    plain = ((words + np.uint64(0x7676767676767676)) | words) & np.uint64(0x8080808080808080) == 0
    # four numbers of two digits
    words = (words * np.uint64(10) + (words >> np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
    words = (words * np.uint64(100) + (words >> np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)  # two of four
    return (words * np.uint64(10_000) + (words >> np.uint64(32))) & np.uint64(0xFFFFFFFF), plain
