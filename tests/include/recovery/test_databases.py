from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest

from include.errors import ConfigurationError, RefusedError
from include.recovery import databases
from include.recovery.databases import Mark, birthmark
from tests.include.recovery.scene import COMMENT, Scene

OP_ID = "1f0c9a2e-9d1b-4c0a-8f51-0c6f3c8f7a10"
AT = datetime(2026, 11, 25, 2, 0, 13, tzinfo=UTC)


def test_the_names_carry_the_operation() -> None:
    called = databases.names("orchestrator", OP_ID)
    assert (called.restore, called.before) == ("orchestrator_restore_1f0c9a2e", "orchestrator_before_1f0c9a2e")


@pytest.mark.parametrize("op_id", ["", "1f0c9a2", "1F0C9A2E-9d1b", "x'; drop--", "1f0c9a2e\n"[:7] + "\n"])
def test_what_is_no_operation_id_is_refused(op_id: str) -> None:
    with pytest.raises(ConfigurationError, match="does not begin with eight hex digits"):
        databases.names("orchestrator", op_id)


@pytest.mark.parametrize(
    ("database", "fits"), [("d" * 46, True), ("d" * 47, False), ("ü" * 23, True), ("ü" * 24, False)]
)
def test_a_name_that_postgresql_would_cut_off_is_refused(database: str, fits: bool) -> None:
    if fits:
        assert len(databases.names(database, OP_ID).restore.encode()) <= 63
        return
    with pytest.raises(ConfigurationError, match="too long"):
        databases.names(database, OP_ID)


def test_a_mark_is_read_back_with_the_one_that_took_its_place() -> None:
    inner = Mark(
        op_id=OP_ID, state="compared", at=AT, key="k", comment="it's", seconds={"restore": 1.5}, lacking=("x",)
    )
    mark = Mark(op_id=OP_ID, state="before", at=AT, replaced_by=inner)
    assert Mark.read(mark.text()) == mark


@pytest.mark.parametrize(
    "comment",
    [
        None,
        "",
        "the shop",
        "{}",
        "[]",
        "7",
        '{"recovery": 1}',
        '{"recovery": {"op_id": "x"}}',
        '{"recovery": {"more": 1}}',
    ],
)
def test_a_comment_of_somebody_else_is_no_mark(comment: str | None) -> None:
    assert Mark.read(comment) is None


@pytest.mark.integration
def test_observes_the_running_one_and_nothing_beside_it(here: Scene) -> None:
    seen = here.seen()
    assert seen.running
    assert (seen.restore, seen.before, seen.is_swapped, seen.is_returned, seen.in_recovery) == (
        None,
        None,
        False,
        False,
        False,
    )
    assert seen.system_identifier == here.good.manifest.facts.system_identifier if here.good.manifest else False
    assert (seen.running.owner, seen.running.comment, seen.running.settings) == (
        "orchestrator_owner",
        COMMENT,
        ["work_mem=5MB"],
    )
    assert (seen.running.encoding, seen.running.connection_limit, seen.running.allow_connections) == ("UTF8", -1, True)
    assert sorted(seen.running.grants) == [
        "ops_backup=c/orchestrator_owner",
        "orchestrator_app=c/orchestrator_owner",
        "orchestrator_owner=CTc/orchestrator_owner",
    ]
    assert (seen.running.bytes or 0) > 1_000_000
    assert databases.changeable(seen) == seen.running


@pytest.mark.integration
@pytest.mark.parametrize(
    "made",
    [
        "create database {} owner orchestrator_owner",
        "create database {} owner orchestrator_owner connection limit {limit}",
        "create database {} owner orchestrator_owner allow_connections false",
    ],
)
def test_a_database_of_the_same_name_that_is_not_ours_is_foreign(here: Scene, made: str) -> None:
    for name in (here.names.restore, here.names.before):
        with here.superuser("postgres") as server:
            server.execute(made.format(name, limit=birthmark(here.op_id)).encode())
            with pytest.raises(RefusedError, match=f"there is a database {name} that this recovery did not make"):
                databases.refuse_foreign(here.seen())
            server.execute(f"drop database {name}".encode())


@pytest.mark.integration
def test_one_of_another_operation_whose_id_begins_alike_is_foreign(here: Scene) -> None:
    other = here.op_id[:8] + str(uuid.uuid4())[8:]
    with here.superuser("postgres") as server:
        server.execute(f"create database {here.names.restore} owner orchestrator_owner".encode())
        mark = Mark(op_id=other, state="compared", at=AT)
        server.execute(f"comment on database {here.names.restore} is $mark${mark.text()}$mark$".encode())
    with pytest.raises(RefusedError, match="did not make"):
        here.restorer().restore(here.opened, here.op_id)


@pytest.mark.integration
def test_one_that_is_not_there_or_not_ours_to_change_is_refused_with_the_way_out(here: Scene) -> None:
    with pytest.raises(ConfigurationError, match="create database shop_none owner orchestrator_owner"):
        databases.changeable(databases.observe(here.login, "shop_none", here.op_id))
    with pytest.raises(ConfigurationError, match="alter database template1 owner to orchestrator_owner"):
        databases.changeable(databases.observe(here.login, "template1", here.op_id))
