"""Which removals are planned, and which are refused in one sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pydantic import ValidationError

from include.errors import ConfigurationError, PermanentError, RefusedError
from include.plans.cache_removal import Counted, Request, Which, most, plan
from include.settings import CacheLimits

LIMITS = CacheLimits(removal_keys_max=1000)
REQUEST = Request(op_id="1", prefix="cache:report:", which=Which.WITHOUT_LIFETIME, reason="unread for a month")
COUNTED = Counted(server="a" * 40, place="redis-0:6379", keys=500, others=20, bytes=50_000)


@pytest.mark.parametrize("prefix", ["cache:", "cache:report:", "cache:a-b_c:d:"])
def test_a_prefix_of_the_list_is_taken(prefix: str) -> None:
    replace(REQUEST, prefix=prefix).refuse(LIMITS)


@pytest.mark.parametrize(
    ("changed", "kind", "says"),
    [
        ({"prefix": "queue:"}, RefusedError, "prefix: keys below queue: are never removed, only those below cache:"),
        ({"prefix": "session:"}, RefusedError, "never removed"),
        ({"prefix": "lock:x:"}, RefusedError, "never removed"),
        ({"prefix": "cached:"}, RefusedError, "never removed"),
        ({"prefix": ""}, ConfigurationError, "prefix: small letters"),
        ({"prefix": "cache"}, ConfigurationError, "prefix: small letters"),
        ({"prefix": "cache:*"}, ConfigurationError, "prefix: small letters"),
        ({"prefix": "cache:[a]:"}, ConfigurationError, "prefix: small letters"),
        ({"prefix": "cache:report:\n"}, ConfigurationError, "prefix: small letters"),
        ({"prefix": "{{ params.x }}"}, ConfigurationError, "prefix: small letters"),
        ({"which": "everything"}, ConfigurationError, "which: one of without a lifetime, all"),
        ({"reason": "   short   "}, ConfigurationError, "reason: at least 10 characters"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(changed: dict[str, Any], kind: type[PermanentError], says: str) -> None:
    with pytest.raises(kind, match=says) as refused:
        replace(REQUEST, **changed).refuse(LIMITS)
    assert "\n" not in str(refused.value)
    assert "nothing was changed" in str(refused.value)


def test_an_approval_covers_what_was_counted_and_a_little_more() -> None:
    assert most(COUNTED) == 600
    assert most(replace(COUNTED, keys=10_000)) == 11_000
    assert most(replace(COUNTED, keys=0)) == 0


def test_more_than_a_run_may_remove_is_refused() -> None:
    plan(REQUEST, replace(COUNTED, keys=1000), LIMITS, code_version="c")
    with pytest.raises(
        RefusedError, match="1001 keys below cache:report: would be removed, and one run may remove 1000"
    ):
        plan(REQUEST, replace(COUNTED, keys=1001), LIMITS, code_version="c")


def test_the_same_plan_holds_while_keys_come_and_go_within_the_approval() -> None:
    asked = plan(REQUEST, COUNTED, LIMITS, code_version="c")
    later = plan(REQUEST, replace(COUNTED, keys=599, others=0), LIMITS, code_version="c", approved=600)
    assert later.hash == asked.hash
    assert later.text != asked.text
    with pytest.raises(RefusedError, match=r"601 keys .* and 600 were approved"):
        plan(REQUEST, replace(COUNTED, keys=601), LIMITS, code_version="c", approved=600)


@pytest.mark.parametrize("changed", [{"server": "b" * 40}, {"place": "redis-1:6379"}])
def test_another_server_is_another_plan(changed: dict[str, Any]) -> None:
    asked = plan(REQUEST, COUNTED, LIMITS, code_version="c")
    there = plan(REQUEST, replace(COUNTED, **changed), LIMITS, code_version="c", approved=600)
    assert there.hash != asked.hash


def test_people_read_what_goes_what_stays_and_how_it_comes_back() -> None:
    text = plan(REQUEST, COUNTED, LIMITS, code_version="c").text
    assert text.startswith("cache removal of cache:report: on redis redis-0:6379\n")
    assert "Would be removed: 500 keys, about 50 kB; 20 others below cache:report: stay" in text
    assert "python -m include.cache undo 1 brings the keys back" in text


@pytest.mark.parametrize("prefix", ["queue:", "queue:workflows:", "session:", "lock:", "recovery:x:"])
def test_settings_that_reach_into_work_sessions_or_locks_are_refused_at_the_start(prefix: str) -> None:
    with pytest.raises(
        ValidationError, match=f"{prefix} reaches into .*, which is never removed; take it out of cache.pref"
    ):
        CacheLimits(prefixes=("cache:", prefix))


@pytest.mark.parametrize("prefixes", [(), ("*",), ("c:",), ("cache",), ("",)])
def test_settings_without_a_prefix_of_a_cache_are_refused(prefixes: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        CacheLimits(prefixes=prefixes)


@pytest.mark.parametrize("budget", [0, -1, 1801, 1.5, "ten"])
def test_a_budget_that_is_none_is_refused_at_the_start(budget: Any) -> None:
    with pytest.raises(ValidationError):
        CacheLimits(budget_s=budget)
