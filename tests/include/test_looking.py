from __future__ import annotations

import time
from contextvars import ContextVar
from threading import Barrier

from include.errors import ConfigurationError, TransientError
from include.findings import Blind
from include.looking import look


def fails(error: Exception) -> None:
    raise error


def test_every_probe_answers_under_its_own_name_in_the_order_given() -> None:
    assert list(look({"b": lambda: 2, "a": lambda: 1}, 1).items()) == [("b", 2), ("a", 1)]


def test_probes_run_side_by_side() -> None:
    together = Barrier(5)
    answers = look({str(number): together.wait for number in range(5)}, 10)
    assert set(answers.values()) == set(range(5))


def test_a_probe_that_hangs_costs_its_deadline_and_nobody_else() -> None:
    started = time.monotonic()
    answers = look({"hangs": lambda: time.sleep(20), "answers": lambda: 1}, 0.2)
    assert time.monotonic() - started < 10
    assert answers["answers"] == 1
    assert answers["hangs"] == Blind(error="TransientError", reason="hangs did not answer within 0.2 s", transient=True)


def test_an_error_of_the_tree_says_whether_another_try_may_help() -> None:
    answers = look(
        {"later": lambda: fails(TransientError("later")), "wrong": lambda: fails(ConfigurationError("wrong"))}, 1
    )
    assert answers["later"] == Blind(error="TransientError", reason="later", transient=True)
    assert answers["wrong"] == Blind(error="ConfigurationError", reason="wrong", transient=False)


def test_a_mistake_of_ours_is_named_by_its_class() -> None:
    answers = look({"bug": lambda: fails(KeyError("x"))}, 1)
    assert answers["bug"] == Blind(error="KeyError", reason="KeyError: 'x'", transient=True)


def test_what_is_said_of_a_failure_is_one_masked_line() -> None:
    answers = look({"leaks": lambda: fails(OSError("postgresql://u:hush-canary@host/db\nsaid no " + "x" * 999))}, 1)
    blind = answers["leaks"]
    assert isinstance(blind, Blind)
    assert "hush-canary" not in blind.reason
    assert "\n" not in blind.reason
    assert len(blind.reason) < 330


def test_a_probe_that_answers_nothing_has_answered() -> None:
    assert look({"none": lambda: None}, 1) == {"none": None}


def test_no_probes_no_answers() -> None:
    assert look({}, 1) == {}


def test_what_the_caller_bound_is_bound_in_the_probe() -> None:
    bound: ContextVar[str] = ContextVar("bound", default="lost")
    bound.set("kept")
    assert look({"a": bound.get, "b": bound.get}, 1) == {"a": "kept", "b": "kept"}
