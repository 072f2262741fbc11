"""The report of the disaster-recovery test (item M-12+): what a person signs, and can lay beside last month's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from include.backups.moving import size
from include.findings import Finding, Report, Severity, worst_first
from include.ops.evidence import Recorded
from include.reporting import text
from include.reporting.changes import Changes
from include.reporting.document import Block, Bullets, Document, Section, Signatures, Table, Text

SIGNERS = ("Ran the test", "Read it: service owner")
SIGNED = "I have read this report, whose result is {}, and every step under What to do has somebody who does it."
PASSED, WARNED, FAILED = "PASSED", "PASSED, WITH WARNINGS", "FAILED"


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """One run of the test, as far as it is known when the report is written.

    :param reports: by task id.
    :param changes: against the test before.
    :param before: what that test recorded; empty if there was none.
    :param by: who or what started it.
    :param off_site: the bucket of the off-site copy; "" if the backups came from the bucket itself.
    """

    reports: Mapping[str, Report]
    changes: Changes
    before: Sequence[Recorded]
    run_id: str
    url: str
    at: datetime
    by: str
    environment: str
    database: str
    code_version: str
    off_site: str = ""

    @property
    def findings(self) -> list[Finding]:
        """All of them, worst first."""
        return worst_first(finding for report in self.reports.values() for finding in report.findings)

    @property
    def verdict(self) -> str:
        """What could not be looked at has not passed."""
        worst = max((report.severity for report in self.reports.values()), default=Severity.UNKNOWN)
        return FAILED if worst >= Severity.UNKNOWN else WARNED if worst is Severity.WARNING else PASSED

    def evidence(self, check: str) -> Mapping[str, Any]:
        """The numbers of a check; none if it was not made."""
        return next((finding.evidence for finding in self.findings if finding.check == check), {})

    def the(self, item: str, check: str) -> Finding | None:
        """One finding."""
        return next((each for each in self.findings if (each.item, each.check) == (item, check)), None)

    def value(self, item: str, check: str) -> Any:
        """The number of a finding; None if there is none."""
        found = self.the(item, check)
        return found.evidence.get("value") if found else None

    def before_it(self, item: str, check: str) -> Any:
        """The same number of the test before."""
        return next((each.value for each in self.before if (each.item, each.check) == (item, check)), None)


def compose(test: Exercise) -> Document:
    """Return the report."""
    return Document(
        title=f"Disaster-recovery test: {test.database}",
        lines=[
            f"{test.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC, environment {test.environment}, started by {test.by}",
            f"Run {test.run_id}, code {test.code_version}",
            test.url,
        ],
        sections=[
            Section(title=f"Result: {test.verdict}", blocks=list(_result(test))),
            Section(title="What was restored", blocks=list(_restored(test))),
            Section(title="Targets", blocks=[_targets(test)]),
            Section(title="Trend", blocks=list(_trend(test))),
            Section(title="Failover", blocks=list(_failover(test))),
            Section(title="What was missing, or done by hand", blocks=[_missing(test)]),
            Section(title="What to do", blocks=[_to_do(test)]),
            Section(title="Compared with the test before", blocks=list(_compared(test))),
            Section(title="What this test does not show", blocks=[Bullets(items=list(_not_shown(test)))]),
            Section(title="Signatures", blocks=[Text(text=SIGNED.format(test.verdict)), Signatures(roles=SIGNERS)]),
        ],
    )


def _result(test: Exercise) -> Iterator[Block]:
    faults = [each for each in test.findings if each.severity >= Severity.WARNING]
    if not faults:
        yield Text(text="Everything was restored and equal, within its targets, with nothing done by hand.")
    else:
        yield Bullets(items=[f"{each.severity.name} ({each.item}): {each.summary}" for each in faults])


def _restored(test: Exercise) -> Iterator[Block]:
    if configuration := test.the("M-03", "restored_configuration"):
        yield Text(text=f"Configuration: {_sentence(configuration.summary)}")
    newest, older = test.evidence("restored_newest"), test.evidence("restored_older")
    if not (newest.get("key") or older.get("key")):
        yield Text(text="Nothing was restored.")
        return
    yield Text(
        text="Into an empty server, with the key and the credentials of disaster recovery alone; every table was compared with"
        " the fingerprint that was sealed when the backup was taken."
    )
    rows = [(name, _cell(newest, show), _cell(older, show)) for name, show in _FACTS.items()]
    yield Table(head=("", "Newest good backup", "An older one, by lot"), rows=rows)


def _cell(found: Mapping[str, Any], show: Any) -> str:
    return str(show(found)) if found.get("key") else "not restored"


def _step(name: str) -> Any:
    return lambda found: _seconds(found["steps"].get(name))


_FACTS: Mapping[str, Any] = {
    "Backup": lambda found: found["key"],
    "Taken": lambda found: _utc(found["taken_at"]),
    "Newest transaction": lambda found: _utc(found["newest_transaction_at"]),
    "Database": lambda found: f"{size(found['database_bytes'])}, PostgreSQL {found['server_version']}",
    "Stored": lambda found: size(found["stored_bytes"]),
    "Equal": lambda found: (
        f"{found['tables']} tables, {found['rows']:,} rows, {found['indexes_checked']} indexes checked"
    ),
    "Choose, look at the server": _step("choose and look"),
    "Fetch and open": _step("fetch and open"),
    "Restore": _step("restore"),
    "Compare": _step("compare"),
    "Together": lambda found: _seconds(found["rto_s"]),
}


def _targets(test: Exercise) -> Table:
    rows = [_target(test, name, item, check) for name, item, check in _TARGETS]
    return Table(head=("", "Measured", "Target", "Test before", "Verdict"), rows=rows)


_TARGETS = (
    ("RTO: decision to restored and equal", "M-04", "rto"),
    ("RTO, forecast", "M-04", "trend"),
    ("RPO: age of the newest transaction", "M-05", "rpo"),
    ("RPO, worst moment of the month", "M-05", "rpo_month"),
)


def _target(test: Exercise, name: str, item: str, check: str) -> tuple[str, ...]:
    found = test.the(item, check)
    value, target = test.value(item, check), found.evidence.get("threshold") if found else None
    judged = found.severity.name if found and value is not None else "no trend yet" if check == "trend" else "not known"
    return name, _seconds(value), _seconds(target), _seconds(test.before_it(item, check)), judged


def _trend(test: Exercise) -> Iterator[Block]:
    if found := test.the("M-04", "trend"):
        yield Text(text=_sentence(found.summary))
    runs = test.evidence("trend").get("runs") or ()
    if runs:
        rows = [
            (
                _utc(run["at"]),
                size(run["database_bytes"]),
                _seconds(run["rto_s"]),
                f"{run['rto_s'] / (run['database_bytes'] / 1e9):.3g}",
                _seconds(run["rpo_s"]),
            )
            for run in runs[-13:]
        ]
        yield Table(head=("Test", "Database", "RTO", "s per GB", "RPO"), rows=rows)
    else:
        yield Text(text="No test has restored anything.")


def _failover(test: Exercise) -> Iterator[Block]:
    found = [each for each in test.findings if each.item == "M-02"]
    if not found:
        yield Text(text="Not exercised in this run.")
        return
    rows = [(each.subject, each.severity.name, each.summary) for each in sorted(found, key=lambda each: each.subject)]
    yield Table(head=("Of", "Verdict", "What happened"), rows=rows)


def _missing(test: Exercise) -> Block:
    missing = test.evidence("pieces").get("missing")
    if missing is None:
        return Text(text="Not known: nothing could be looked at.")
    if not missing:
        return Text(text="Nothing.")
    return Bullets(items=[f"{each['piece']}: {each['said']}" for each in missing])


def _to_do(test: Exercise) -> Block:
    steps = [
        f"{each.item}: {each.next_step}" for each in test.findings if each.severity > Severity.INFO and each.next_step
    ]
    rows = [(step, "", "") for step in dict.fromkeys(steps)]
    return Table(head=("Step", "Who", "By when"), rows=rows) if rows else Text(text="Nothing.")


def _compared(test: Exercise) -> Iterator[Block]:
    changes = test.changes
    if changes.unread:
        yield Text(text="Not compared: what earlier tests recorded could not be read.")
    elif not changes.since:
        yield Text(text="There was no test before this one.")
    else:
        yield Text(text=f"With that of {_utc(changes.since.isoformat())}.")
        worse = [f"Worse: {each.item} {each.summary}" for each in changes.worse]
        better = [
            f"Better: {each.item} {each.check.replace('_', ' ')} of {each.subject}, {each.severity.name} then"
            for each in changes.better
        ]
        yield Bullets(items=[*worse, *better]) if worse or better else Text(text="No verdict changed.")


def _not_shown(test: Exercise) -> Iterator[str]:
    pieces = test.evidence("pieces")
    yield "Starting the application on the restored data: the RTO ends when every table is compared."
    yield "The configuration at work: it was made without pods, custom kinds were only tried, rights are an administrator's."
    yield "Owners and default privileges: the target's role is no superuser; database_recovery restores them."
    yield "Free space on the disk of the target: PostgreSQL does not tell."
    if not test.off_site:
        yield "An off-site copy: none is named in disaster.bucket, so the backups came from the bucket itself."
    if there := pieces.get("roles_there"):
        yield f"Making {there} of the {pieces['roles']} roles: the target had them from an earlier restore."
    if not any(each.item == "M-02" for each in test.findings):
        yield "Failover (M-02)."


def differences(test: Exercise) -> str:
    """Return in one sentence what is different from the test before."""
    if test.changes.unread:
        return "not compared: what earlier tests recorded could not be read"
    if not test.changes.since:
        return "there was no test before this one to compare with"
    numbers = [
        f"{name} {_seconds(test.before_it(item, check))} then, {_seconds(test.value(item, check))} now"
        for name, item, check in (("RTO", "M-04", "rto"), ("RPO", "M-05", "rpo"))
    ]
    counted = f"{len(test.changes.worse)} worse, {len(test.changes.better)} better"
    return f"with the test of {_utc(test.changes.since.isoformat())}: {'; '.join([*numbers, counted])}"


def _seconds(value: Any) -> str:
    """Return `12.3 s`, and longer times as people say them."""
    if value is None:
        return "-"
    seconds = float(value)
    return f"{seconds:.1f} s" if seconds < 600 else f"{text.span(seconds)} ({seconds:,.0f} s)"


def _utc(iso: str) -> str:
    return f"{datetime.fromisoformat(iso).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."
