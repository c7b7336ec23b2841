"""What was measured, as lines to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from stars.bench.measure import Measured

COLUMNS = ("", "", "ms", "/s", "ratio", "GFLOP/s", "of matmul", "MB")


WIDTH = 16  # of the names of groups, or more where one is longer


def lines(measured: Iterable[Measured], rates: dict[str, float], heading: bool = True) -> Iterator[str]:
    """A line a case: time of a round, items a second, ratio to the first of its group, model FLOP/s, their share of the
    product rate, memory.

    Args:
        rates: precision → floating-point operations a second of a matrix product on this machine.
    """
    measured = list(measured)
    width = max(WIDTH, *(len(one.case.group) for one in measured)) + 1
    if heading:
        yield _line(COLUMNS, width)
    for one in measured:
        case = one.case
        rate = case.operations / one.seconds
        counted = (f"{rate / 1e9:.1f}", f"{100 * rate / rates[case.precision]:.0f} %") if case.operations else ("", "")
        memory = "" if one.memory is None else f"{one.memory / 1e6:.0f}"
        speed = (f"{1e3 * one.seconds:.1f}", f"{case.items / one.seconds:.1f}", f"{one.baseline / one.seconds:.2f}x")
        yield _line((case.group, case.name, *speed, *counted, memory), width)


def _line(cells: tuple[str, ...], width: int) -> str:
    group, name, *numbers = cells
    return f"{group:{width}}{name:30}" + "".join(f"{number:>12}" for number in numbers)
