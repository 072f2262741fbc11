from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from include.errors import TransientError
from include.failover.probe import Probe, compare, insist, longest_gap


@pytest.mark.parametrize(
    ("times", "gap", "began"),
    [
        ([], 10.0, 0.0),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9], 1.0, 0.0),
        ([1, 2, 7, 8, 9], 5.0, 2.0),
        ([6, 7, 8, 9], 6.0, 0.0),
        ([1, 2, 3], 7.0, 3.0),
    ],
)
def test_the_gap_is_the_longest_time_without_an_acknowledgement_ends_included(
    times: Sequence[float], gap: float, began: float
) -> None:
    assert longest_gap(100.0, [100.0 + at for at in times], 110.0) == pytest.approx((gap, began))


@pytest.mark.parametrize(
    ("acknowledged", "present", "lost", "duplicates"),
    [
        ([1, 2, 3], [1, 2, 3], (), ()),
        ([1, 2, 3], [1, 3], (2,), ()),
        ([1, 2], [1, 2, 3], (), ()),  # its answer never came, and it is there: neither
        ([1, 2], [2, 2], (1,), (2,)),
        ([], [], (), ()),
    ],
)
def test_lost_is_what_was_acknowledged_and_is_not_there(
    acknowledged: Sequence[int], present: Sequence[int], lost: tuple[int, ...], duplicates: tuple[int, ...]
) -> None:
    assert compare(acknowledged, present) == (lost, duplicates)


class Shelf:
    """A target that takes numbers, or says that it does and does not, or says nothing."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.forgets = self.refuses = False

    def write(self, number: int) -> None:
        if self.refuses:
            raise TransientError("not now")
        if not self.forgets:
            self.numbers.append(number)

    def present(self) -> Sequence[int]:
        return self.numbers

    def clear(self) -> None:
        self.numbers = []


def test_each_lap_has_its_own_gap_and_all_lost_writes_so_far() -> None:
    shelf = Shelf()
    with Probe(shelf, 0.01) as probe:
        time.sleep(0.1)
        shelf.refuses = True
        time.sleep(0.4)
        shelf.refuses = False
        time.sleep(0.1)
        first = probe.lap()
        shelf.forgets = True
        time.sleep(0.1)
        second = probe.lap()
    assert first.gap_s == pytest.approx(0.4, abs=0.15)
    assert first.gap_began_s == pytest.approx(0.1, abs=0.1)
    assert not first.lost
    assert second.gap_s < 0.2
    assert len(second.lost) == pytest.approx(10, abs=9)
    assert first.attempted > first.acknowledged > 5
    assert not shelf.numbers


def test_what_cannot_be_read_back_is_not_called_lost() -> None:
    def silent() -> Sequence[int]:
        raise ConnectionError("nobody answers")

    with pytest.raises(TransientError, match="nothing is known of lost writes"):
        insist(silent, 0.2)
