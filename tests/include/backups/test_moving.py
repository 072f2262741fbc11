from __future__ import annotations

import hashlib
import io
import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from threading import Event, current_thread, main_thread
from typing import Any

import pytest

from include.backups import moving
from include.backups.moving import Flow, Job, Tap
from include.errors import PermanentError, TransientError

BOUND: ContextVar[str] = ContextVar("BOUND", default="nothing")


class Line:
    """Jobs that end when they are stopped from outside, as those do that wait for a program or a server."""

    def __init__(self) -> None:
        self.cut = Event()
        self.stopped = 0

    def stop(self) -> None:
        self.stopped += 1
        self.cut.set()

    def waiting(self, what: str = "the dump", **flow: Any) -> Job:
        return Job(Flow(what, **flow), self._wait)

    def _wait(self) -> None:
        assert self.cut.wait(10)

    def flowing(self, flow: Flow, for_s: float) -> Job:
        def deed() -> None:
            until = time.monotonic() + for_s
            while time.monotonic() < until and not self.cut.wait(0.02):
                flow.moved(10)

        return Job(flow, deed)

    def run(self, *jobs: Job, stall_s: float = 5, progress_s: float = 600) -> None:
        moving.run(jobs, stall_s=stall_s, progress_s=progress_s, stop=self.stop)


@pytest.fixture
def line() -> Line:
    return Line()


def failing(error: BaseException, after_s: float = 0) -> Callable[[], None]:
    def deed() -> None:
        time.sleep(after_s)
        raise error

    return deed


def test_all_jobs_run_to_their_end_side_by_side_and_nothing_is_stopped(line: Line) -> None:
    both, seen = [Event(), Event()], []

    def deed(mine: Event, other: Event) -> None:
        mine.set()
        assert other.wait(5)
        seen.append(current_thread() is main_thread())

    jobs = [Job(Flow("a"), lambda: deed(both[0], both[1])), Job(Flow("b"), lambda: deed(both[1], both[0]))]
    line.run(*jobs)
    assert seen == [False, False]
    assert line.stopped == 0
    assert not any(job.runs for job in jobs)


def test_what_the_caller_bound_to_its_context_is_bound_in_the_job(line: Line) -> None:
    seen: list[str] = []
    BOUND.set("the run")
    job = Job(Flow("a"), lambda: seen.append(BOUND.get()))
    BOUND.set("nothing")
    line.run(job)
    assert seen == ["the run"]


def test_who_stands_still_is_stopped_and_it_is_said_how_long_and_after_how_much(line: Line) -> None:
    job = line.waiting(done=12_345_678)
    began = time.monotonic()
    with pytest.raises(TransientError) as raised:
        line.run(job, stall_s=0.3)
    assert 0.3 <= time.monotonic() - began < 3
    assert str(raised.value) == (
        "the dump stood still for 0.3 s after 12.3 MB and was ended; look at the network and at locks, then try again"
    )
    assert line.stopped == 1
    assert not job.runs


def test_who_moves_is_never_stopped_however_slow(line: Line) -> None:
    flow = Flow("the dump")
    line.run(line.flowing(flow, for_s=0.9), stall_s=0.3)
    assert flow.done >= 10
    assert line.stopped == 0


def test_one_who_stands_still_is_named_though_another_moves(line: Line) -> None:
    with pytest.raises(TransientError, match=r"^the fingerprint stood still for 0.3 s after 0 B "):
        line.run(line.flowing(Flow("the dump"), for_s=5), line.waiting("the fingerprint"), stall_s=0.3)
    assert line.stopped == 1


def test_one_that_has_ended_does_not_stand_still(line: Line) -> None:
    line.run(Job(Flow("a"), lambda: None), line.flowing(Flow("b"), for_s=0.8), stall_s=0.3)
    assert line.stopped == 0


@pytest.mark.parametrize(
    "error", [PermanentError("refused"), TransientError("later"), OSError(28, "full"), KeyboardInterrupt()]
)
def test_an_error_of_any_job_stops_the_others_and_comes_out_as_itself(line: Line, error: BaseException) -> None:
    other = line.waiting("a")
    with pytest.raises(type(error)) as raised:
        line.run(other, Job(Flow("b"), failing(error)))
    assert raised.value is error
    assert line.stopped == 1
    assert not other.runs


def test_what_fails_because_it_was_stopped_does_not_hide_why(line: Line) -> None:
    def deed() -> None:
        assert line.cut.wait(10)
        raise PermanentError("it was killed")

    with pytest.raises(TransientError, match=r"^the network$"):
        line.run(Job(Flow("a"), deed), Job(Flow("b"), failing(TransientError("the network"))))


def test_the_error_that_came_first_wins_whichever_job_it_is_of(line: Line) -> None:
    late, early = failing(PermanentError("later"), after_s=0.05), failing(TransientError("earlier"))
    with pytest.raises(TransientError, match=r"^earlier$"):
        line.run(Job(Flow("a"), late), Job(Flow("b"), early))


def test_an_error_of_the_very_last_moment_is_raised_too(line: Line) -> None:
    with pytest.raises(PermanentError, match=r"^at the end$"):
        line.run(Job(Flow("a"), lambda: None), Job(Flow("b"), failing(PermanentError("at the end"), after_s=0.25)))


def test_an_error_in_the_thread_of_the_caller_stops_the_jobs(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "_watch", lambda *_: failing(KeyboardInterrupt())())
    job = line.waiting()
    with pytest.raises(KeyboardInterrupt):
        line.run(job)
    assert line.stopped == 1
    assert not job.runs


def test_a_job_that_does_not_notice_the_stop_is_left_behind(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "LEFT_BEHIND_AFTER_S", 0.1)
    job = line.waiting()
    with pytest.raises(TransientError):
        moving.run([job], stall_s=0.2, progress_s=600, stop=lambda: None)
    assert job.runs
    assert job.thread.daemon
    line.stop()
    job.thread.join(5)


def test_a_line_of_the_log_says_how_far_each_is(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, moving.__name__)
    line.run(line.flowing(Flow("the dump", total=10**9), for_s=0.9), Job(Flow("b"), lambda: None), progress_s=0.3)
    said = [record.message for record in caplog.records]
    assert 1 <= len(said) <= 3
    assert all(
        text.startswith("the dump: ") and "of about 1 GB (0 %)" in text and "; b: at it for " in text for text in said
    )


def test_the_log_is_silent_before_it_is_time(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, moving.__name__)
    line.run(line.flowing(Flow("the dump"), for_s=0.3), progress_s=10)
    assert not caplog.records


@pytest.mark.parametrize(
    ("total", "done", "said"),
    [
        (0, 0, "x: at it for 10 s"),
        (0, 850_000_000, "x: 850 MB, 85 MB/s"),
        (3_100_000_000, 1_209_000_000, "x: 1.21 GB of about 3.1 GB (39 %), 121 MB/s, about 16 s left"),
        (1000, 0, "x: at it for 10 s"),
        (1_000_000_000, 999_000_000, "x: 999 MB of about 1 GB (99 %), 100 MB/s, about 0 s left"),
        (1_000_000_000, 1_000_000_000, "x: 1 GB, 100 MB/s"),
        (1_000_000_000, 1_500_000_000, "x: 1.5 GB, 150 MB/s"),
    ],
)
def test_a_flow_says_how_far_it_is(monkeypatch: pytest.MonkeyPatch, total: int, done: int, said: str) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 110.0)
    assert str(Flow("x", total=total, done=done, began_at=100.0)) == said


def test_a_flow_that_moves_stands_still_no_more() -> None:
    flow = Flow("x", moved_at=time.monotonic() - 100)
    assert flow.still_s >= 100
    flow.moved(5)
    flow.moved(6)
    assert flow.done == 11
    assert flow.still_s < 5


def test_a_tap_counts_and_hashes_what_goes_through_it() -> None:
    flow = Flow("x", done=1)
    tap = Tap(io.BytesIO(b"0123456789"), flow)
    assert [tap.read(4), tap.read(), tap.read(4)] == [b"0123", b"456789", b""]
    assert (tap.bytes, flow.done) == (10, 11)
    assert tap.digest.digest() == hashlib.sha256(b"0123456789").digest()


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (12_345_678, "12.3 MB"),
        (999_499, "999 kB"),
        (999_501, "1 MB"),
        (999_999_999, "1 GB"),
        (5_000_000_000_000, "5 TB"),
    ],
)
def test_a_size_has_three_digits(count: float, said: str) -> None:
    assert moving.size(count) == said
