"""Which backups may go (B-06): decided from what the bucket shows, two clocks and the limits.

In two phases, each of which decides everything anew. First a backup is marked, for everybody to see; days later, if all still holds,
it is deleted. Age alone is never a reason, and whatever is odd (a clock, a listing, the newest backup) stops all of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property

from include.backups import keys
from include.backups.catalogue import Verdict
from include.backups.store import Version
from include.settings import RetentionLimits

KEY_TO_SNAPSHOT_MAX = timedelta(hours=1)
"""A key is named before the snapshot is taken, which may wait for a lock; more than this apart they are not of one backup."""
SNAPSHOT_TO_STORED_MAX = timedelta(hours=12)
"""A manifest is stored at the end of the task that took the snapshot, which may not last so long."""


class Deed(StrEnum):
    """What is done about a backup in this run."""

    KEEP = "keep"
    MARK = "mark"
    """It may go; from now on everybody sees that it will."""
    WAIT = "wait"
    """It is marked and may go, but not yet."""
    UNMARK = "unmark"
    """It is marked and may not go any more."""
    DELETE = "delete"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One backup as the bucket shows it.

    :param verdict: None if no manifest lies there; GOOD only if every object that the manifest names is there too.
    :param taken_at: by the manifest, so by the database's clock; None if the manifest cannot be read.
    :param stored_at: of the youngest version of anything at this place, by the store's clock.
    :param manifest_id: version of the manifest that bears the marks.
    :param hold: why somebody wants it kept, which may be ""; None if nobody does.
    :param mark: the mark of the first phase as it is written there, a moment; None if there is none.
    :param in_use: who is at it, "" if nobody.
    :param locked_until: the latest of the store's locks on its versions; None if there is none.
    :param strange: names at this place that are none of ours.
    :param versions: all that lies there.
    """

    key: str
    verdict: Verdict | None
    taken_at: datetime | None
    stored_at: datetime
    manifest_id: str = ""
    hold: str | None = None
    mark: str | None = None
    in_use: str = ""
    locked_until: datetime | None = None
    strange: Sequence[str] = ()
    versions: Sequence[Version] = ()

    @property
    def is_good(self) -> bool:
        """Whether it counts."""
        return self.verdict is Verdict.GOOD and self.named_at is not None

    @cached_property
    def named_at(self) -> datetime | None:
        """When it was taken, by its key; None if the key is none of ours."""
        parsed = keys.parse(self.key)
        return parsed.at if parsed and f"{parsed}" == self.key else None

    @cached_property
    def clocks(self) -> Mapping[str, datetime]:
        """When it was taken or stored, by each that says so."""
        said = {"key": self.named_at, "manifest": self.taken_at, "store": self.stored_at}
        return {name: moment for name, moment in said.items() if moment}

    @property
    def marked_at(self) -> datetime | None:
        """When it was marked; None if it is not, or if the mark is not one of ours."""
        try:
            moment = datetime.fromisoformat(self.mark or "")
        except ValueError:
            return None
        return moment if moment.tzinfo else None

    @property
    def bytes(self) -> int:
        """Of all that lies there."""
        return sum(version.bytes for version in self.versions)


@dataclass(frozen=True, kw_only=True)
class Observed:
    """All that a decision needs.

    :param ours: this machine's clock; `store`: that of the bucket, at the same moment.
    :param backups: every place below the prefix that has a key of our grammar, in any order.
    :param foreign: keys below the prefix that are none of ours; nothing is done to them.
    :param good_since: a good backup must be younger than this; None asks only that it is fresh.
    :param problem: why the listing is not whole; "" if it is.
    """

    ours: datetime
    store: datetime
    backups: Sequence[Seen]
    foreign: Sequence[str] = ()
    good_since: datetime | None = None
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What happens to one backup, and why."""

    seen: Seen
    deed: Deed
    reason: str

    @property
    def needs_a_person(self) -> bool:
        """Whether something is odd about it that no rule can settle."""
        return bool(self.seen.strange) or (self.seen.verdict is not None and self.seen.taken_at is None)

    def __str__(self) -> str:
        """Return one line: deed, key, reason."""
        return f"{self.deed.value:<6} {self.seen.key}  {self.reason}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every backup with what happens to it, oldest first.

    :param frozen: why nothing happens at all; "" if it may.
    :param at: the moment for which it was decided, and which is written as mark.
    """

    steps: Sequence[Step]
    frozen: str
    at: datetime

    def of(self, deed: Deed) -> list[Seen]:
        """Return the backups of one deed, oldest first."""
        return [step.seen for step in self.steps if step.deed is deed]

    @property
    def remaining_good(self) -> int:
        """How many good ones there are after the run."""
        return self.remaining_good_without(seen.key for seen in self.of(Deed.DELETE))

    def remaining_good_without(self, gone: Iterable[str]) -> int:
        """How many good ones there are when these keys are gone."""
        keys_gone = frozenset(gone)
        return sum(step.seen.is_good and step.seen.key not in keys_gone for step in self.steps)

    def __str__(self) -> str:
        """Return `1 may go now, 2 to be marked, 44 stay`, or why nothing happens."""
        if self.frozen:
            return f"nothing is marked or deleted: {self.frozen}"
        counted = {
            "go now": len(self.of(Deed.DELETE)),
            "are marked and wait": len(self.of(Deed.WAIT)),
            "to be marked": len(self.of(Deed.MARK)),
            "to be unmarked": len(self.of(Deed.UNMARK)),
            "stay": len(self.of(Deed.KEEP)),
        }
        return ", ".join(f"{n} {what}" for what, n in counted.items() if n) or "there is no backup"


def decide(observed: Observed, limits: RetentionLimits) -> Plan:
    """Return what happens to each backup now."""
    backups = sorted(observed.backups, key=lambda seen: seen.key)
    at = min(observed.ours, observed.store)  # to the later one everything would look older
    if frozen := "; ".join(_freezes(observed, backups, limits)):
        return Plan(
            steps=[Step(seen=seen, deed=Deed.KEEP, reason="nothing happens") for seen in backups], frozen=frozen, at=at
        )
    rules = _Rules.of(backups, limits, at)
    return Plan(steps=_capped([rules.step(seen) for seen in backups], limits.deletes_max), frozen="", at=at)


def _freezes(observed: Observed, backups: Sequence[Seen], limits: RetentionLimits) -> Iterator[str]:
    if observed.problem:
        yield observed.problem
    yield from _clocks(observed, backups, limits)
    yield from _newest(observed, backups, limits)


def _clocks(observed: Observed, backups: Sequence[Seen], limits: RetentionLimits) -> Iterator[str]:
    """What shows that a clock is wrong: ours, the store's, or the database's, which wrote keys and manifests."""
    apart = timedelta(seconds=limits.clocks_max_apart_s)
    if (between := abs(observed.ours - observed.store)) > apart:
        yield (
            f"this machine's clock and the store's are {_span(between)} apart (limit {_span(apart)}); set both by NTP"
        )
    latest = max(observed.ours, observed.store) + apart
    for seen in backups:
        for name, moment in seen.clocks.items():
            if moment > latest:
                yield f"{seen.key} is from the future by its {name} ({_utc(moment)}); find out which clock was wrong"
    if newest := next((seen for seen in reversed(backups) if seen.taken_at and not seen.strange), None):
        yield from _clock_of_the_database(newest, apart)


def _clock_of_the_database(newest: Seen, apart: timedelta) -> Iterator[str]:
    stored_after = newest.stored_at - (newest.taken_at or newest.stored_at)
    if not -apart <= stored_after <= SNAPSHOT_TO_STORED_MAX:
        order = "before" if stored_after < timedelta() else "after"
        yield (
            f"{newest.key} was stored {_span(abs(stored_after))} {order} its snapshot: the database's clock and the store's"
            " disagree; set both by NTP and take another backup"
        )


def _newest(observed: Observed, backups: Sequence[Seen], limits: RetentionLimits) -> Iterator[str]:
    """What is wrong with the backups of these days: then the old ones are what is left."""
    newest = next((seen for seen in reversed(backups) if seen.verdict and seen.named_at), None)
    if newest and newest.verdict is Verdict.BAD:
        yield f"the newest backup {newest.key} is BAD"
    good = next((seen for seen in reversed(backups) if seen.is_good), None)
    if good is None:
        yield "no backup is good"
        return
    oldest = min(good.clocks.values())
    age, limit = max(observed.ours, observed.store) - oldest, timedelta(hours=limits.newest_good_max_age_h)
    if age > limit:
        yield f"the newest good backup {good.key} is {_span(age)} old (limit {_span(limit)})"
    if observed.good_since and oldest < observed.good_since:
        yield f"today's backup is not good: the newest good one is {good.key}"


@dataclass(frozen=True, kw_only=True)
class _Rules:
    """What holds for each backup alone.

    :param floor: key of the good backup that has one less newer good ones than must stay; "" if there are too few of them.
    :param monthly: keys of the first good backup of each of the last months.
    """

    limits: RetentionLimits
    at: datetime
    floor: str
    monthly: Collection[str] = field(default_factory=frozenset)

    @classmethod
    def of(cls, backups: Sequence[Seen], limits: RetentionLimits, at: datetime) -> _Rules:
        good = [seen for seen in backups if seen.is_good]
        floor = good[-limits.min_good].key if len(good) >= limits.min_good else ""
        return cls(limits=limits, at=at, floor=floor, monthly=frozenset(_monthly(good, limits.monthly_keeps)))

    def step(self, seen: Seen) -> Step:
        """Return the one deed for it; `_capped` sees to it that there are not too many."""
        if reason := next(self._reasons_to_stay(seen), ""):
            return Step(seen=seen, deed=Deed.KEEP if seen.mark is None else Deed.UNMARK, reason=reason)
        marked, age = self._believed_mark(seen), f"{_span(self.at - max(seen.clocks.values()))} old"
        if marked is None:
            return Step(
                seen=seen, deed=Deed.MARK, reason=f"{age}; goes in {self.limits.grace_days} d if all still holds"
            )
        goes = marked + timedelta(days=self.limits.grace_days)
        if goes > self.at:
            return Step(seen=seen, deed=Deed.WAIT, reason=f"marked {_utc(marked)}, goes after {_utc(goes)}")
        if seen.locked_until and seen.locked_until > self.at:
            return Step(seen=seen, deed=Deed.WAIT, reason=f"still locked until {_utc(seen.locked_until)}")
        return Step(seen=seen, deed=Deed.DELETE, reason=f"{age}, marked {_utc(marked)}")

    def _reasons_to_stay(self, seen: Seen) -> Iterator[str]:
        yield from self._not_ours(seen)
        yield from self._too_young(seen)
        if seen.hold is not None:
            yield f"held: {seen.hold or 'no reason was given'}"
        if seen.in_use:
            yield f"in use by {seen.in_use}"
        if seen.key in self.monthly:
            yield f"the first good one of its month (kept for {self.limits.monthly_keeps} months)"
        if not seen.key < self.floor:
            yield f"fewer than {self.limits.min_good} newer good ones"

    def _not_ours(self, seen: Seen) -> Iterator[str]:
        """What a person must look at first: it may be something else, or mean more than we know."""
        if seen.named_at is None:
            yield "its key is none of ours"
        elif seen.verdict is None:
            yield "no manifest, so no backup; the sweep sees to it"
        elif seen.taken_at is None:
            yield "its manifest cannot be read; look at it, then delete it by hand"
        elif abs(seen.taken_at - seen.named_at) > KEY_TO_SNAPSHOT_MAX:
            yield f"its key and its manifest ({_utc(seen.taken_at)}) are not of one moment"
        if seen.strange:
            yield f"{seen.strange[0]} lies beside it and is none of ours; move it, then this can go"

    def _too_young(self, seen: Seen) -> Iterator[str]:
        for name, moment in seen.clocks.items():
            if (age := self.at - moment) <= timedelta(days=self.limits.retention_days):
                yield f"{_span(age)} old by its {name} (limit {self.limits.retention_days} d)"

    def _believed_mark(self, seen: Seen) -> datetime | None:
        """Return when it was marked, unless nobody could have marked it then: such a mark is written anew."""
        earliest = max(seen.clocks.values()) + timedelta(days=self.limits.retention_days)
        marked = seen.marked_at
        return marked if marked and earliest <= marked <= self.at else None


def _monthly(good: Sequence[Seen], months: int) -> Iterator[str]:
    """Return the first of each of the newest months that have one; a month without a good backup does not shorten the year."""
    first: dict[tuple[int, int], str] = {}
    for seen in good:
        if named := seen.named_at:
            first.setdefault((named.year, named.month), seen.key)
    yield from (first[month] for month in sorted(first, reverse=True)[:months])


def _capped(steps: Sequence[Step], most: int) -> list[Step]:
    """Let the oldest go, as many as one run may delete; the others wait for the next run."""
    going = [step.seen.key for step in steps if step.deed is Deed.DELETE]
    late = frozenset(going[most:])
    reason = f"may go, but {most} older ones go first and are as many as one run deletes"
    return [replace(step, deed=Deed.WAIT, reason=reason) if step.seen.key in late else step for step in steps]


def _span(age: timedelta) -> str:
    seconds = age.total_seconds()
    if abs(seconds) < 7200:
        return f"{seconds:.0f} s"
    return f"{seconds / 3600:.1f} h" if abs(seconds) < 172_800 else f"{seconds / 86_400:.1f} d"


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
