"""What the hash of a table tells apart."""

from __future__ import annotations

from random import Random

import pytest

from include.backups import fingerprint, source
from sandbox.site import Site
from tests.include.backups.world import world

pytestmark = pytest.mark.integration

MADE = """
create table public.things (id int primary key, big bigint, small smallint, yes boolean, at timestamptz, day date, code uuid,
    raw bytea, note text, amount numeric(10, 2), doc jsonb);
insert into public.things
select n, n * 7919, n % 100, n % 2 = 0, timestamptz '2030-01-01Z' + n * interval '1 min', date '2030-01-01' + n, md5(n::text)::uuid,
    decode(md5(n::text), 'hex'), 'note ' || n, n * 1.10, jsonb_build_object('n', n)
from generate_series(1, 300) n
"""
COLUMNS = ("big", "small", "yes", "at", "day", "code", "raw", "note", "amount", "doc")
SWAPPED = """
update public.things a set {0} = b.{0} from public.things b
where a.id in (%(one)s, %(two)s) and b.id in (%(one)s, %(two)s) and a.id <> b.id
"""


def test_two_rows_that_swap_a_value_are_told_apart(site: Site) -> None:
    dice = Random(0)
    with world(site) as here, here.superuser() as session:
        for statement in MADE.split(";\n"):
            session.execute(statement.encode())
        source.settle(session)
        tables = source.tables(session)
        session.execute("begin")
        whole = fingerprint.contents(session, tables).tables["public.things"]
        session.execute("rollback")
        missed = []
        for number in range(300):
            column, (one, two) = COLUMNS[number % len(COLUMNS)], dice.sample(range(1, 301), 2)
            session.execute("begin")
            session.execute(SWAPPED.format(column).encode(), {"one": one, "two": two})
            differs = session.execute(
                f"select count(*) > 1 from (select distinct {column}::text from public.things where id in (%s, %s)) x".encode(),
                [one, two],
            ).fetchone()
            if differs == (True,) and fingerprint.contents(session, tables).tables["public.things"] == whole:
                missed.append((column, one, two))
            session.execute("rollback")
    assert missed == []
