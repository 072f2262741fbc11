"""A clean-up against real servers: what was listed is archived, what is archived is deleted, and nothing else is touched."""

from __future__ import annotations

import pytest

from include.plans.cleanup import Subject
from tests.include.cleanup.yard import OLD, Yard

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.mark.parametrize("subject", [Subject.LOGS, Subject.AUDIT])
def test_bug_53_bug_58_exactly_what_was_listed_is_archived_and_then_deleted(yard: Yard, subject: Subject) -> None:
    old, before = yard.ids(subject, OLD[subject]), yard.rows(subject)
    done = yard.act()[subject]
    assert old
    assert yard.planned(subject) == yard.archived_ids(subject) == old
    assert yard.rows(subject) == {number: row for number, row in before.items() if number not in old}
    assert (done.planned, done.archived, done.deleted, done.left, done.vanished) == (len(old),) * 3 + (0, 0)
