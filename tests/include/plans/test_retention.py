from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from include.backups import keys
from include.backups.catalogue import Verdict
from include.plans.retention import Deed, Observed, Plan, Seen, decide
from include.settings import RetentionLimits
from tests.include.plans.histories import History
from tests.proof import Proof

NOW = datetime(2026, 11, 25, 5, 0, tzinfo=UTC)
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
LIMITS = RetentionLimits(monthly_keeps=0)
MARKED = (NOW - 7 * DAY).isoformat()


def seen(age: float, verdict: Verdict | None = Verdict.GOOD, **changed: Any) -> Seen:
    """One of the night that is so many days ago."""
    at = (NOW - timedelta(days=age) - timedelta(hours=3)).replace(microsecond=0)
    known: dict[str, Any] = {
        "key": keys.fresh("orchestrator", at, str(uuid.uuid4()), 1),
        "verdict": verdict,
        "taken_at": at,
        "stored_at": at + timedelta(minutes=5),
    }
    return Seen(**known | changed)


def week() -> list[Seen]:
    return [seen(age) for age in range(7)]


def observed(*backups: Seen, **changed: Any) -> Observed:
    known: dict[str, Any] = {"ours": NOW, "store": NOW, "backups": backups}
    return Observed(**known | changed)


def of(
    one: Seen, others: Sequence[Seen] | None = None, limits: RetentionLimits = LIMITS, **changed: Any
) -> tuple[Deed, str]:
    """What happens to one, beside a healthy week."""
    plan = decide(observed(one, *(week() if others is None else others), **changed), limits)
    assert plan.frozen == ""
    return next((step.deed, step.reason) for step in plan.steps if step.seen is one)


@pytest.mark.parametrize("verdict", [Verdict.GOOD, Verdict.BAD, Verdict.UNPROVED])
def test_an_old_backup_is_marked_then_waits_then_goes_whatever_its_verdict(verdict: Verdict) -> None:
    assert of(seen(40, verdict)) == (Deed.MARK, "40.1 d old; goes in 7 d if all still holds")
    young = (NOW - 7 * DAY + SECOND).isoformat()
    assert of(seen(40, verdict, mark=young))[0] is Deed.WAIT
    assert of(seen(40, verdict, mark=MARKED)) == (Deed.DELETE, "40.1 d old, marked 2026-11-18 05:00 UTC")


@pytest.mark.parametrize("clock", ["key", "manifest", "store"])
@pytest.mark.parametrize(("over", "deed"), [(-SECOND, Deed.KEEP), (timedelta(), Deed.KEEP), (SECOND, Deed.MARK)])
def test_bug_05_old_is_older_than_the_limit_to_the_second_by_key_manifest_and_store(
    clock: str, over: timedelta, deed: Deed
) -> None:
    at = NOW - 30 * DAY - over
    before = at - timedelta(minutes=50)
    moments = {"key": before, "manifest": before, "store": before} | {clock: at}
    key = keys.fresh("orchestrator", moments["key"], str(uuid.uuid4()), 1)
    one = seen(0, key=key, taken_at=moments["manifest"], stored_at=moments["store"])
    found, reason = of(one)
    assert found is deed
    assert deed is Deed.MARK or reason == f"{30 + over / DAY:.1f} d old by its {clock} (limit 30 d)"


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (seen(40, hold=""), "held: no reason was given"),
        (seen(40, hold="audit"), "held: audit"),
        (seen(40, in_use="database_recovery"), "in use by database_recovery"),
        (seen(40, None, taken_at=None), "no manifest, so no backup; the sweep sees to it"),
        (seen(40, Verdict.BAD, taken_at=None), "its manifest cannot be read; look at it, then delete it by hand"),
        (seen(40, key="backups/database/orchestrator/old/"), "its key is none of ours"),
        (seen(40, key="backups/config/orchestrator/2026/01/01/020013Z-1f0c9a2e-1/"), "its key is none of ours"),
        (seen(40, key="backups/database/orchestrator/2026/01/01/020013Z-1f0c9a2e-1/x/"), "its key is none of ours"),
        (seen(40, strange=["notes.txt"]), "notes.txt lies beside it and is none of ours; move it, then this can go"),
        (
            seen(40, taken_at=NOW - 39 * DAY),
            "its key and its manifest (2026-10-17 05:00 UTC) are not of one moment",
        ),
    ],
)
def test_bug_02_bug_03_what_is_held_in_use_or_none_of_ours_stays_and_loses_its_mark(one: Seen, reason: str) -> None:
    assert of(one) == (Deed.KEEP, reason)
    assert of(replace(one, mark=MARKED)) == (Deed.UNMARK, reason)


@pytest.mark.parametrize(
    "mark", ["", "soon", "2020-01-01T00:00:00+00:00", "2026-11-18T05:00:00", (NOW + SECOND).isoformat(), MARKED[:10]]
)
def test_a_mark_that_nobody_could_have_set_then_is_set_anew_and_deletes_nothing(mark: str) -> None:
    assert of(seen(40, mark=mark))[0] is Deed.MARK
    assert of(seen(36, mark=MARKED))[0] is Deed.MARK  # it was not old enough a week ago


def test_a_locked_one_is_not_tried_and_says_how_long() -> None:
    until = NOW + SECOND
    assert of(seen(40, mark=MARKED, locked_until=until)) == (Deed.WAIT, "still locked until 2026-11-25 05:00 UTC")
    assert of(seen(40, mark=MARKED, locked_until=NOW))[0] is Deed.DELETE
    assert of(seen(40, locked_until=until))[0] is Deed.MARK


def test_bug_06_enough_newer_good_ones_must_stay_and_others_do_not_count() -> None:
    one = seen(40, mark=MARKED)
    six = week()[:6]
    others = [seen(35, Verdict.BAD), seen(34, Verdict.UNPROVED), seen(41), seen(42)]
    assert of(one, six) == (Deed.UNMARK, "fewer than 7 newer good ones")
    assert of(one, six + others)[0] is Deed.UNMARK
    assert of(one, [*six, seen(39)])[0] is Deed.DELETE


def test_a_bad_one_that_is_newer_than_the_good_ones_stays_too() -> None:
    bad = seen(40, Verdict.BAD, mark=MARKED)
    assert of(bad, [seen(0), *(seen(age) for age in range(50, 60))])[0] is Deed.UNMARK


def test_of_a_run_that_may_delete_many_the_newest_stay_and_no_more_than_the_cap_goes_oldest_first() -> None:
    old = [seen(age, mark=MARKED) for age in range(60, 40, -1)]
    plan = decide(observed(*old, seen(0)), LIMITS)
    assert plan.of(Deed.DELETE) == old[:5]
    assert len(plan.of(Deed.WAIT)) == 20 - 5 - 6
    assert len(plan.of(Deed.UNMARK)) == 6
    assert plan.remaining_good == 16


def test_the_first_good_one_of_each_month_is_kept_for_so_many_months() -> None:
    old = [seen(age, mark=MARKED) for age in range(400, 30, -1)]
    bad = seen(116, Verdict.BAD)  # 1 August, before the good one
    limits = RetentionLimits(monthly_keeps=4, deletes_max=50)
    plan = decide(observed(*old, bad, *week()), limits)
    monthly = [step.seen.key[30:40] for step in plan.steps if "first good one of its month" in step.reason]
    assert monthly == ["2026/08/01", "2026/09/01", "2026/10/01"]
    assert len(plan.of(Deed.DELETE)) == 50


def test_without_monthly_keeps_there_are_none() -> None:
    old = [seen(age) for age in range(70, 31, -1)]
    plan = decide(observed(*old, *week()), LIMITS)
    assert plan.of(Deed.MARK) == old


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"problem": "the listing was cut short"}, "the listing was cut short"),
        (
            {"ours": NOW + 61 * SECOND},
            "this machine's clock and the store's are 61 s apart (limit 60 s); set both by NTP",
        ),
        ({"store": NOW + 61 * SECOND}, "are 61 s apart"),
        ({"ours": NOW + 31 * DAY}, "are 31.0 d apart"),
        ({"ours": NOW + 31 * DAY, "store": NOW + 31 * DAY}, "is 31.1 d old (limit 26.0 h)"),
        ({"ours": NOW - DAY, "store": NOW - DAY}, "is from the future by its key"),
        (
            {"good_since": NOW},
            "today's backup is not good: the newest good one is backups/database/orchestrator/2026/11/25/",
        ),
    ],
)
def test_whatever_is_odd_about_the_day_stops_all_of_it(changed: dict[str, Any], said: str) -> None:
    old, marked = seen(40), seen(41, mark=MARKED)
    plan = decide(observed(old, marked, seen(42, mark=MARKED, hold=""), *week(), **changed), LIMITS)
    assert said in plan.frozen
    assert {step.deed for step in plan.steps} == {Deed.KEEP}
    assert str(plan).startswith("nothing is marked or deleted: ")


@pytest.mark.parametrize("clock", ["ours", "store"])
def test_of_clocks_that_are_a_minute_apart_the_earlier_one_says_how_old_a_backup_is(clock: str) -> None:
    one, clocks = replace(seen(30), stored_at=NOW - 30 * DAY), {clock: NOW + 60 * SECOND}
    assert of(one, None, LIMITS, **clocks)[0] is Deed.KEEP
    assert of(replace(one, stored_at=NOW - 30 * DAY - SECOND), None, LIMITS, **clocks)[0] is Deed.MARK


def test_what_is_none_of_ours_does_not_stop_it() -> None:
    foreign = seen(0, Verdict.BAD, key="backups/database/orchestrator/z/")
    assert decide(observed(*week(), foreign), LIMITS).frozen == ""
    put_now = seen(0.9, stored_at=NOW, strange=["notes.txt"])  # which says nothing about the database's clock
    assert decide(observed(*week()[1:], put_now), LIMITS).frozen == ""


@pytest.mark.parametrize(
    ("newest", "said"),
    [
        (seen(0, Verdict.BAD), " is BAD"),
        (seen(0, Verdict.BAD, taken_at=None), " is BAD"),
        (seen(0, stored_at=NOW + 61 * SECOND), "is from the future by its store (2026-11-25 05:01 UTC)"),
        (seen(0, taken_at=NOW + 61 * SECOND), "is from the future by its manifest"),
        (seen(-400), "is from the future by its key"),
        (
            seen(0, stored_at=NOW - timedelta(hours=4)),
            "was stored 3600 s before its snapshot: the database's clock and the",
        ),
        (seen(0.9, stored_at=NOW), "was stored 24.6 h after its snapshot"),
    ],
)
def test_an_odd_newest_backup_stops_all_of_it(newest: Seen, said: str) -> None:
    plan = decide(observed(seen(40), seen(41, mark=MARKED), *(seen(age) for age in range(1, 9)), newest), LIMITS)
    assert said in plan.frozen
    assert {step.deed for step in plan.steps} == {Deed.KEEP}


def test_bug_06_without_a_fresh_good_one_nothing_goes_however_many_there_are() -> None:
    nights = [seen(age) for age in range(1, 60)]
    assert "is 27.0 h old (limit 26.0 h)" in decide(observed(*nights), LIMITS).frozen
    assert decide(observed(*nights, seen(0, Verdict.UNPROVED)), LIMITS).frozen
    assert decide(observed(*nights, seen(0)), LIMITS).frozen == ""
    assert "no backup is good" in decide(observed(seen(40, Verdict.UNPROVED)), LIMITS).frozen
    assert "no backup is good" in decide(observed(), LIMITS).frozen


def test_a_plan_reads_as_one_sentence_and_one_line_a_backup() -> None:
    plan: Plan = decide(observed(seen(40, mark=MARKED), seen(39), seen(38, hold="audit"), *week()), LIMITS)
    assert str(plan) == "1 go now, 1 to be marked, 8 stay"
    assert str(plan.steps[2]).startswith("keep   backups/database/orchestrator/2026/10/18/")
    assert str(plan.steps[2]).endswith("/  held: audit")


@pytest.mark.proof
@pytest.mark.timeout(3600)
def test_bug_06_no_history_loses_a_backup_that_must_stay_and_fair_ones_do_not_fill_the_bucket(proof: Proof) -> None:
    n = proof.n(small=300, full=10_000)
    chance, held, tally, wrong = proof.random, 0, Counter[str](), list[str]()
    for seed in [chance.getrandbits(64) for _ in range(n)]:
        history = History(Random(seed))
        found = list(history.play())
        held += not found
        wrong += found[:1]
        tally += history.tally
    assert wrong == [], f"seed {proof.seed}"
    assert tally["deleted"] > 3 * n
    assert tally["fair"] > n / 20
    proof.held(
        "months of failed, bad and unproved nights, wrong clocks, foreign files, short listings, holds and forged marks: never a"
        " foreign object, never below the floor, never on an incomplete listing, never younger than the limit, never held, in"
        " use, locked or monthly, never unmarked or beyond the cap; and in fair histories what may go goes",
        n=n,
        held=held,
        **tally,
    )
