from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from include.backups import keys
from include.backups.manifest import ConfigurationFacts, ConfigurationManifest
from include.checks.configuration import TOLD_MAX, Judge
from include.configuration import drift
from include.configuration.bundle import KindRead
from include.configuration.drift import Difference, Place, Writer
from include.configuration.take import Taken, summary
from include.findings import Finding, Report, Severity
from include.settings import ConfigurationLimits
from tests.include.configuration.things import NAMED, clear, config, secret

NOW = datetime(2026, 11, 26, 3, 1, tzinfo=UTC)
JUDGE = Judge(namespace="shop", limits=ConfigurationLimits(), now=NOW)
BY_HAND = Writer(manager="kubectl-edit", at=NOW)
BY_A_CONTROLLER = Writer(manager="kube-controller-manager", at=NOW)


def facts(**changed: Any) -> ConfigurationFacts:
    known = {"key": keys.fresh("shop", NOW, "1f0c9a2e", 1, keys.CONFIGURATION), "op_id": "1f0c9a2e", "taken_at": NOW}
    rest = {"finished_at": NOW, "code_version": "test", "recipients": NAMED, "previous": None}
    return ConfigurationFacts(**{**known, **rest, **summary(clear(config(), secret())), **changed})


def judged(not_as_in_git: dict[str, list[str]] | None = None, **changed: Any) -> dict[str, Finding]:
    whole = clear(config(), secret(), **changed)
    manifest = ConfigurationManifest(format=1, facts=facts(**summary(whole)), objects={})
    taken = Taken(manifest=manifest, sha256="a" * 64, bundle=whole, not_as_in_git=not_as_in_git or {})
    return {f"{each.item} {each.check}": each for each in JUDGE.taken(taken)}


def test_what_was_taken_is_told_item_by_item() -> None:
    found = judged()
    assert {each.item for each in found.values()} == {"B-08", "B-09", "B-11", "B-12", "B-13", "B-14"}
    assert {each.severity for each in found.values()} == {Severity.OK}
    assert found["B-09 taken"].summary == "2 objects of 2 kinds at 03:01:00 UTC; left out: 3 made by its owner"
    assert found["B-11 sealed"].summary.startswith("1 Secrets sealed in memory to escrow, operations; ")


def test_bug_22_a_kind_and_a_folder_that_could_not_be_read_are_unknown_by_name() -> None:
    dark = KindRead(group="", version="v1", kind="Secret", plural="secrets", namespaced=True, unread="forbidden (403)")
    whole = clear(kinds=(dark,), unmounted={"folder config": "not mounted"})
    manifest = ConfigurationManifest(format=1, facts=facts(**summary(whole)), objects={})
    taken = Taken(manifest=manifest, sha256="a" * 64, bundle=whole, not_as_in_git={})
    unseen = [each for each in JUDGE.taken(taken) if each.blind]
    assert [(each.item, each.subject, each.severity) for each in unseen] == [
        ("B-09", "secrets", Severity.UNKNOWN),
        ("B-12", "folder config", Severity.UNKNOWN),
    ]
    assert Report(source="configuration", checked=1, findings=tuple(unseen)).blind


def test_files_that_are_not_as_git_has_them_are_a_warning() -> None:
    found = judged({"config": [f"config/{n} differs from Git" for n in range(6)], "certificates": []})
    assert found["B-12 git_config"].severity is Severity.WARNING
    assert found["B-12 git_config"].summary.endswith("config/3 differs from Git and 2 more")
    assert found["B-12 git_certificates"].severity is Severity.OK


@pytest.mark.parametrize(("days", "warned"), [(-1, True), (0, True), (13, True), (14, False), (90, False)])
def test_a_certificate_that_ends_soon_is_a_warning(days: int, warned: bool) -> None:
    end = (NOW + timedelta(days=days, hours=1)).isoformat()
    known = {"place": "secret/tls", "number": 1, "subject": "CN=x", "not_after": end, "sha256": "1", "pem": "P"}
    found = judged(certificates=(known,))
    assert ("B-13 ends" in found) is warned
    assert found["B-13 certificates"].evidence["certificates"][0]["pem"] is None


def difference(name: str, field: str = "level") -> Difference:
    identity = ("", "ConfigMap", "shop", name)
    return Difference(subject=f"configmap/{name}", identity=identity, path=("data", field), before="a", after="b")


def drifted(found: list[Difference], by: Writer | None) -> list[Finding]:
    writers: dict[Place, Writer | None] = {each.place: by for each in found}
    return list(JUDGE.drift(found, writers))


def test_an_unchanged_cluster_gives_one_row_of_evidence_and_no_line() -> None:
    (only,) = drifted([], None)
    assert (only.severity, only.summary) == (
        Severity.OK,
        "0 fields differ from the last good backup, 0 objects unexpectedly",
    )


def test_what_somebody_changed_is_a_warning_with_who_and_when() -> None:
    finding, whole = drifted([difference("app")], BY_HAND)
    assert (finding.severity, finding.in_table, finding.subject) == (Severity.WARNING, False, "configmap/app")
    assert finding.summary == "data.level: a -> b (last written by kubectl-edit, 2026-11-26 03:01 UTC)"
    assert whole.severity is Severity.WARNING


def test_what_a_controller_changed_is_evidence_and_no_message() -> None:
    finding, whole = drifted([difference("app")], BY_A_CONTROLLER)
    assert (finding.severity, finding.in_table, whole.severity) == (Severity.INFO, True, Severity.OK)


def test_what_nobody_knows_who_changed_is_not_expected() -> None:
    finding, _ = drifted([difference("app")], None)
    assert finding.severity is Severity.WARNING
    assert finding.summary.endswith("(who: the API server's audit log)")


def test_one_field_by_hand_among_those_of_a_controller_is_a_warning() -> None:
    found = [difference("app", "a"), difference("app", "b")]
    writers: dict[Place, Writer | None] = {found[0].place: BY_A_CONTROLLER, found[1].place: BY_HAND}
    finding, _ = JUDGE.drift(found, writers)
    assert finding.severity is Severity.WARNING


def test_a_flood_is_told_in_part_and_kept_as_a_whole() -> None:
    found = [difference(f"app-{n:02}") for n in range(TOLD_MAX + 9)]
    *objects, whole = drifted(found, BY_HAND)
    assert sum(not each.in_table for each in objects) == TOLD_MAX
    assert len(objects) == TOLD_MAX + 9
    assert whole.summary.endswith("; 9 more objects are in the evidence")


def test_a_kind_of_which_nothing_is_left_is_a_warning_unless_something_could_not_be_read() -> None:
    before, now = facts(kinds={"Secret": 3, "ConfigMap": 1}), facts(kinds={"ConfigMap": 1})
    (finding,) = JUDGE.lost(before, now)
    assert (finding.severity, finding.evidence["kinds"]) == (Severity.WARNING, ["Secret"])
    assert list(JUDGE.lost(before, now.model_copy(update={"unread": {"secrets": "403"}}))) == []
    assert list(JUDGE.lost(before, before)) == []


def test_drift_of_two_bundles_reaches_the_message() -> None:
    found = drift.differences(clear(config(a="1")), replace(clear(config(a="2")), taken_at=NOW))
    assert drifted(found, BY_HAND)[0].summary.startswith("data.a: 1 -> 2 (last")
