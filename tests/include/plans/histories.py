"""Months of a bucket, made up: failed nights, wrong clocks, strange files, short listings, holds; and what may never happen."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random

from include.backups import keys
from include.backups.catalogue import Verdict
from include.plans.retention import Deed, Observed, Plan, Seen, decide
from include.settings import RetentionLimits

BEGIN = datetime(2026, 1, 10, tzinfo=UTC)
DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
FAIR_DAYS = 12
"""At the end of each history all is well for so long: what may go must have begun to."""


@dataclass
class Thing:
    """One place in the bucket, and the truth about it.

    :param at: when it was really taken.
    :param marked: when this runbook really marked it.
    """

    seen: Seen
    at: datetime
    marked: datetime | None = None


@dataclass
class Weather:
    """How often each kind of trouble comes, a day; nothing of it in a fair history."""

    chance: dict[str, float] = field(default_factory=dict)

    KINDS = (
        *(
            "no backup",
            "bad",
            "unproved",
            "died",
            "second",
            "found bad",
            "lost bytes",
            "torn",
            "strange",
            "no run",
            "two runs",
        ),
        *(
            "ours",
            "store",
            "both",
            "database",
            "said short",
            "silently short",
            "hold",
            "release",
            "in use",
            "forged mark",
        ),
        "other limits",
    )

    @classmethod
    def of(cls, random: Random) -> Weather:
        if random.random() < 0.15:
            return cls()
        kinds = random.sample(cls.KINDS, random.randint(1, 8))
        return cls({kind: random.choice((0.02, 0.1, 0.4)) for kind in kinds})

    def happens(self, kind: str, random: Random) -> bool:
        return random.random() < self.chance.get(kind, 0)


class History:
    """One made-up history; `play` yields what was wrong."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.weather = Weather.of(random)
        self.limits = limits(random)
        self.lock = timedelta(days=random.choice((0, 0, 5, 30)))
        self.days = self.limits.retention_days + self.limits.grace_days + random.randint(20, 60)
        self.things: dict[str, Thing] = {}
        self.foreign = [f"backups/database/orchestrator/{name}" for name in ("notes.txt", "2026/01/01/dump.age")]
        self.fair = not self.weather.chance
        self.tally: Counter[str] = Counter()

    def play(self) -> Iterator[str]:
        for day in range(self.days + FAIR_DAYS):
            if day == self.days:
                self._clear_up()
            midnight = BEGIN + day * DAY
            self._night(midnight + 2 * HOUR)
            self._trouble()
            for hour in self._runs():
                yield from self._run(midnight + hour * HOUR + self.random.random() * MINUTE)
        yield from self._stuck(BEGIN + (self.days + FAIR_DAYS) * DAY)

    def _happens(self, kind: str) -> bool:
        return self.weather.happens(kind, self.random)

    def _clear_up(self) -> None:
        self.weather = Weather()

    def _runs(self) -> tuple[int, ...]:
        if self._happens("no run"):
            return ()
        return (5, 9) if self._happens("two runs") else (5,)

    def _night(self, at: datetime) -> None:
        if self._happens("no backup"):
            return
        kinds = {"died": None, "bad": Verdict.BAD, "unproved": Verdict.UNPROVED}
        verdict = next((verdict for kind, verdict in kinds.items() if self._happens(kind)), Verdict.GOOD)
        self._store(at, verdict)
        if verdict is Verdict.BAD or self._happens("second"):
            self._store(at + HOUR, Verdict.GOOD)

    def _store(self, at: datetime, verdict: Verdict | None) -> None:
        by_database, by_store = at + self._wrong("database"), at + 5 * MINUTE + self._wrong("store")
        key = keys.fresh("orchestrator", by_database, str(uuid.UUID(int=self.random.getrandbits(128))), 1)
        seen = Seen(
            key=key,
            verdict=verdict,
            taken_at=by_database if verdict else None,
            stored_at=by_store,
            locked_until=at + self.lock if verdict is Verdict.GOOD else None,
            manifest_id="v",
        )
        self.things[key] = Thing(seen, at)

    def _wrong(self, clock: str) -> timedelta:
        if not self._happens(clock):
            return timedelta()
        return self.random.choice((-1, 1)) * self.random.choice((61 / 86400, 0.5, 1, 3, 31, 365)) * DAY

    def _trouble(self) -> None:
        """What people and disks do to single backups."""
        for kind, changed in (
            ("found bad", {"verdict": Verdict.BAD}),
            ("lost bytes", {"verdict": Verdict.BAD}),
            ("torn", {"verdict": Verdict.BAD, "taken_at": None}),
            ("strange", {"strange": ("notes.txt",)}),
            ("hold", {"hold": self.random.choice(("", "audit"))}),
            ("release", {"hold": None}),
            ("in use", {"in_use": "a recovery"}),
            (
                "forged mark",
                {"mark": self.random.choice(("", "soon", "2020-01-01T00:00:00+00:00", "2099-01-01T00:00:00+00:00"))},
            ),
        ):
            if self.things and self._happens(kind):
                thing = self.random.choice(list(self.things.values()))
                thing.seen = replace(thing.seen, **changed)
        if self._happens("other limits"):
            self.limits = limits(self.random)

    def _observed(self, now: datetime) -> Observed:
        both = self._wrong("both")
        places = [thing.seen for thing in self.things.values()]
        if self._happens("silently short"):
            places = self.random.sample(places, self.random.randint(0, len(places)))
        self.random.shuffle(places)
        return Observed(
            ours=now + both + self._wrong("ours"),
            store=(now + both + self._wrong("store")).replace(microsecond=0),
            backups=places,
            foreign=self.foreign,
            problem="the listing was cut short" if self._happens("said short") else "",
            good_since=now.replace(hour=0, minute=0, second=0, microsecond=0) if self.random.random() < 0.8 else None,
        )

    def _run(self, now: datetime) -> Iterator[str]:
        observed = self._observed(now)
        plan = decide(observed, self.limits)
        yield from self._wrongs(plan, observed, now)
        self.tally["frozen" if plan.frozen else "acted"] += 1
        for seen in plan.of(Deed.MARK):
            self._change(seen, plan.at.isoformat(timespec="seconds"), now)
        for seen in plan.of(Deed.UNMARK):
            self._change(seen, None, None)
        for seen in plan.of(Deed.DELETE):
            del self.things[seen.key]
            self.tally["deleted"] += 1

    def _change(self, seen: Seen, mark: str | None, marked: datetime | None) -> None:
        thing = self.things[seen.key]
        thing.seen, thing.marked = replace(thing.seen, mark=mark), marked

    def _wrongs(self, plan: Plan, observed: Observed, now: datetime) -> Iterator[str]:
        """What the plan does that it may not, by the truth and not by what the plan was told."""
        if sorted(step.seen.key for step in plan.steps) != sorted(seen.key for seen in observed.backups):
            yield "the plan is not about exactly what was seen"
        going = {seen.key: self.things[seen.key] for seen in plan.of(Deed.DELETE)}
        marking = {seen.key: self.things[seen.key] for seen in plan.of(Deed.MARK)}
        if going or marking:
            yield from self._wrong_day(observed, now)
        if len(going) > self.limits.deletes_max:
            yield "more than one run may delete"
        for key, thing in {**marking, **going}.items():
            yield from (f"{key} {why}" for why in self._wrong_thing(thing, observed, now))
        stays = [each for key, each in self.things.items() if each.seen.is_good and key not in going]
        for key, thing in going.items():
            yield from (f"{key} {why}" for why in self._wrong_deletion(thing, stays, now))

    def _wrong_day(self, observed: Observed, now: datetime) -> Iterator[str]:
        """What is wrong with a day on which anything is marked or deleted."""
        if observed.problem:
            yield "the listing was not whole"
        if abs(observed.ours - observed.store) > MINUTE:
            yield "the clocks disagree"
        seen = sorted(observed.backups, key=lambda each: each.key)
        manifests = [each for each in seen if each.verdict]
        if not manifests or manifests[-1].verdict is Verdict.BAD:
            yield "the newest is BAD"
        if any(moment > now + 2 * DAY for each in seen for moment in each.clocks.values()):
            yield "something is from the future"
        good = [self.things[each.key].at for each in seen if each.is_good]
        if not good or now - max(good) > timedelta(hours=self.limits.newest_good_max_age_h) + 13 * HOUR:
            yield "no good one is fresh"

    def _wrong_thing(self, thing: Thing, observed: Observed, now: datetime) -> Iterator[str]:
        seen, limit = thing.seen, timedelta(days=self.limits.retention_days)
        if seen.key in self.foreign or seen.strange or seen.verdict is None or seen.taken_at is None:
            yield "is none of ours"
        # Two clocks that are wrong together, by less than the newest backup shows, cannot be known; nor can a backup be of which
        # the database and the store told the same lie.
        blind = timedelta(hours=self.limits.newest_good_max_age_h)
        slack = blind if min(observed.ours, observed.store) > now + MINUTE else MINUTE
        moments = [
            *seen.clocks.values(),
            *([thing.at] if any(abs(m - thing.at) < HOUR for m in seen.clocks.values()) else []),
        ]
        if any(now - moment <= limit - slack for moment in moments):
            yield "is too young"
        if seen.hold is not None:
            yield "is held"
        if seen.in_use:
            yield "is in use"
        if self._is_monthly(seen):
            yield "is a monthly one"

    def _is_monthly(self, seen: Seen, before: int = 0) -> bool:
        """Whether it is kept as the first of its month, or was so many months before."""
        good = [key for key, thing in sorted(self.things.items()) if thing.seen.is_good]
        firsts = {key[:37]: key for key in reversed(good)}  # backups/database/orchestrator/2026/11
        months = self.limits.monthly_keeps + before
        last = sorted(firsts)[-months:] if months else []
        return seen.key in {firsts[month] for month in last}

    def _wrong_deletion(self, thing: Thing, stays: list[Thing], now: datetime) -> Iterator[str]:
        newer = sum(each.seen.key > thing.seen.key for each in stays)
        if newer < self.limits.min_good:
            yield f"has only {newer} newer good ones"
        if thing.marked is None or now - thing.marked < timedelta(days=self.limits.grace_days) - timedelta(hours=26):
            yield "was not marked long enough"
        if thing.seen.locked_until and thing.seen.locked_until > now + timedelta(hours=26):
            yield "is locked"

    def _stuck(self, now: datetime) -> Iterator[str]:
        """What fair days must have marked or deleted, by the rules as the runbook tells them; strange things may freeze all of it."""
        if not self.fair:
            return
        limit = timedelta(days=self.limits.retention_days + self.limits.grace_days + 2)
        for key, thing in self.things.items():
            seen = thing.seen
            if (
                now - thing.at > limit
                and not self._is_monthly(seen, before=1)
                and (not seen.locked_until or seen.locked_until < now)
            ):
                yield f"{key} is still there"
        self.tally["fair"] += 1


def limits(random: Random) -> RetentionLimits:
    return RetentionLimits(
        retention_days=random.choice((7, 10, 30)),
        grace_days=random.choice((1, 3, 7)),
        min_good=random.choice((3, 5, 7)),
        monthly_keeps=random.choice((0, 1, 3)),
        deletes_max=random.choice((1, 2, 5)),
    )
