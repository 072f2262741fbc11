"""A recovery from the first look to the drop of the old database, of everything that PostgreSQL can hold."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from include.backups import compare
from include.recovery import doors, swap
from include.recovery.databases import Database
from include.recovery.smoke import smoke
from sandbox.components.postgres import Connection, connect
from sandbox.site import Site
from tests.include.recovery.scene import LIMITS, Scene, scene
from tests.zoo.build import build

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

ZOO = LIMITS.model_copy(update={"template": "template1"})
"""Its roles make large objects, which the template of the orchestrator forbids."""

GIVEN_AWAY = """
    alter table public.of_the_superuser owner to orchestrator_owner;
    alter table public.count owner to orchestrator_owner;
    alter function public.of_the_superuser(integer) owner to orchestrator_owner;
    alter table zoo.of_superuser owner to zoo_owner;
    alter view zoo.of_superuser_view owner to zoo_owner;
    alter table zoo."of o'brien" owner to zoo_owner;
    do $$ begin execute (
        select string_agg(format('alter large object %s owner to zoo_owner', oid), ';')
        from pg_largeobject_metadata where lomowner = 10
    ); end $$;
    grant zoo_owner, "zoo ""o'brien", "zoo reader" to ops_restore;
    grant set on parameter "zoo.custom" to ops_restore;
"""
"""What belongs to a superuser no recovery without one can give back; whose settings it sets, it must be able to become."""
OWNED = """
    with owned (what, owner, acl) as (
        select nspname || '.' || relname, relowner, null from pg_class c join pg_namespace n on n.oid = relnamespace
        where nspname !~ '^pg_' and relkind in ('r', 'p', 'v', 'm', 'S') union all
        select 'large object ' || oid, lomowner, lomacl from pg_largeobject_metadata union all
        select 'publication ' || pubname, pubowner, null from pg_publication union all
        select 'schema ' || nspname, nspowner, nspacl from pg_namespace where nspname !~ '^pg_(toast_)?temp'
    )
    select concat_ws(' ', what, owner::regrole, (select string_agg(item::text, ',' order by item::text) from unnest(acl) item))
    from owned
"""


def zoo(session: Connection) -> None:
    build(session)
    session.execute(GIVEN_AWAY)


@pytest.fixture(scope="module")
def menagerie(production: Site) -> Iterator[Scene]:
    with connect(production, database="postgres") as session:
        session.execute("grant connect on database template1 to ops_backup")
        with scene(production, zoo, "template1") as made:
            yield made
        session.execute("revoke connect on database template1 from ops_backup")


def test_bug_29_everything_comes_back_with_its_owners_rights_and_settings(menagerie: Scene) -> None:
    here, original, owned = menagerie, menagerie.seen().running, owners(menagerie)
    assert original
    was = here.contents()
    with here.superuser() as session:
        session.execute("drop schema zoo_security cascade")
    assert compare.differences(was, here.contents()) != []
    ahead = here.restorer(limits=ZOO).foresee(here.opened, here.op_id, free_bytes=None)
    assert (ahead.by_hand, ahead.missing_roles, ahead.changed_roles) == ([], [], [])
    mark = here.restorer(limits=ZOO).restore(here.opened, here.op_id, accepted=ahead.by_hand)
    assert (mark.state, mark.lacking, {*mark.seconds}) == ("compared", (), {"fetch", "restore", "analyze", "compare"})
    doors.close_doors(here.login, here.database, LIMITS)
    recovered = swap.swap(here.login, here.database, here.op_id, LIMITS).running
    assert recovered
    assert compare.differences(was, here.contents()) == []
    assert lasting(recovered) == lasting(original)
    assert owners(here) == owned
    assert not [each for each in owned if "ops_restore" in each]
    assert smoke(here.reader, here.opened.fingerprint.contents).rows == {}


def test_what_was_swapped_away_is_dropped_a_week_later_and_not_before(menagerie: Scene) -> None:
    here = menagerie
    assert here.seen().is_swapped
    with pytest.raises(Exception, match=r"stays for 7 days \(restore.keep_days\); it was not dropped"):
        swap.drop_before(here.login, here.database, here.op_id, LIMITS)
    a_week_later(here)
    assert swap.drop_before(here.login, here.database, here.op_id, LIMITS)
    assert not swap.drop_before(here.login, here.database, here.op_id, LIMITS)
    assert here.all_names() == {here.database}


def a_week_later(here: Scene) -> None:
    before = here.seen().before
    assert before
    assert before.mark
    aged = before.mark.model_copy(update={"at": before.mark.at - timedelta(days=7)})
    with here.superuser("postgres") as server:
        server.execute(f"comment on database {before.name} is $mark${aged.text()}$mark$".encode())


def lasting(database: Database) -> dict[str, Any]:
    """What must be the same of the restored database; the order of grants means nothing."""
    said = {name: value for name, value in vars(database).items() if name not in {"oid", "bytes"}}
    return {**said, "grants": sorted(database.grants)}


def owners(here: Scene) -> list[str]:
    with here.superuser() as session:
        return sorted(name for (name,) in session.execute(OWNED.encode()))
