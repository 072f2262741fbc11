"""What the churn does, each deed one transaction; names in braces are drawn anew for each deed."""

from __future__ import annotations

import random
from collections.abc import Mapping

Deeds = Mapping[str, tuple[str, ...]]

KINDS = ("integer", "bigint", "numeric")

WRITES: Deeds = {
    "insert": (
        "insert into zoo_churn.notes (n, body) select {n}, repeat(md5('{m}'), {m} % 100) from generate_series(1, {few})",
    ),
    "update": ("update zoo_churn.notes set body = left(body, 5000) || '{m}', n = {m} where n between {n} and {n} + 5",),
    "delete": ("delete from zoo_churn.notes where id in (select id from zoo_churn.notes order by id limit 3)",),
    "transfer": (
        "update zoo_churn.left_accounts set amount = amount - {m} where id = {a}",
        "select pg_sleep(0.01)",
        "update zoo_churn.right_accounts set amount = amount + {m} where id = {b}",
    ),
    "transfer back": (
        "update zoo_churn.right_accounts set amount = amount - {m} where id = {b}",
        "update zoo_churn.left_accounts set amount = amount + {m} where id = {a}",
    ),
    # Only accounts from 51 on move: a transfer must find those of its own.
    "move": (
        (
            "with moved as (delete from zoo_churn.left_accounts where id = 50 + {a} returning id, amount)"
            " insert into zoo_churn.right_accounts (id, amount) select id, amount from moved"
        ),
    ),
    "move back": (
        (
            "with moved as (delete from zoo_churn.right_accounts where id = 50 + {a} returning id, amount)"
            " insert into zoo_churn.left_accounts (id, amount) select id, amount from moved"
        ),
    ),
    "truncate": (
        "truncate zoo_churn.emptied",
        "insert into zoo_churn.emptied select g, 'refilled {n}' from generate_series(1, 50) g",
    ),
    "nextval": ("select nextval('zoo_churn.numbers') from generate_series(1, {few})",),
    "write into a partition": ("insert into zoo_churn.parts select {n} % 750, '{m}'",),
    "move between partitions": ("update zoo_churn.parts set id = (id + 250) % 750 where id = {n} % 750",),
    "write into a renamed table": ("insert into zoo_churn.renamed values ({n}, '{m}')",),
    "write into a rewritten table": ("update zoo_churn.rewritten set body = '{m}' where id = {n} % 500",),
    "write into a new table": ("insert into zoo_churn.made_{few} (body) values ('{m}')",),
    "make a large object": (
        "insert into zoo_churn.blobs (lo) values (lo_from_bytea(0, decode(repeat(md5('{n}'), {m} * 5), 'hex')))",
    ),
    "change a large object": (
        "select lo_put(lo, {n}, 'changed {m}') from (select lo from zoo_churn.blobs order by random() limit 1) one",
    ),
    "remove a large object": (
        (
            "with gone as (delete from zoo_churn.blobs where id = (select min(id) from zoo_churn.blobs) returning lo)"
            " select lo_unlink(lo) from gone"
        ),
    ),
}

CHANGES: Deeds = {
    "create table": (
        "create table zoo_churn.made_{few} (id serial primary key, body text unique, n integer check (n > {n}))",
    ),
    "drop table": ("drop table zoo_churn.made_{few}",),
    "add column": ("alter table zoo_churn.rewritten add column extra_{half} float8 default random()",),
    "drop column": ("alter table zoo_churn.rewritten drop column extra_{half}",),
    "add column without rewrite": ("alter table zoo_churn.left_accounts add column extra_{half} integer default {n}",),
    "drop column without rewrite": ("alter table zoo_churn.left_accounts drop column extra_{half}",),
    "alter type": ("alter table zoo_churn.rewritten alter column amount type {kind}",),
    # A column that is dropped still counts among the 1600 that a table may have.
    "remake table": (
        "drop table if exists zoo_churn.rewritten",
        "create table zoo_churn.rewritten (id integer primary key, amount integer, body text)",
        "insert into zoo_churn.rewritten select g, g, 'remade' from generate_series(1, 500) g",
    ),
    "create index": ("create index notes_{few} on zoo_churn.notes (n, (n % {m} + 1))",),
    "drop index": ("drop index zoo_churn.notes_{few}",),
    "rename": ("alter table zoo_churn.renamed rename to renamed_away",),
    "rename back": ("alter table zoo_churn.renamed_away rename to renamed",),
    "rename column": ("alter table zoo_churn.emptied rename body to body_{half}",),
    "rename column back": ("alter table zoo_churn.emptied rename body_{half} to body",),
    "detach partition": ("alter table zoo_churn.parts detach partition zoo_churn.parts_2",),
    "attach partition": (
        "alter table zoo_churn.parts attach partition zoo_churn.parts_2 for values from (500) to (750)",
    ),
    "refresh": ("refresh materialized view zoo_churn.summary",),
    "refresh concurrently": ("refresh materialized view concurrently zoo_churn.summary",),
    "replace function": ("create or replace function zoo_churn.answer() returns integer language sql return {n}",),
    "replace view": (
        "create or replace view zoo_churn.looked_at as select id, {n} as answer from zoo_churn.left_accounts",
    ),
    "comment": ("comment on table zoo_churn.notes is 'comment {n}'",),
}


def filled(statements: tuple[str, ...], chance: random.Random) -> list[str]:
    """Return the statements of one deed with its numbers drawn, the same in each."""
    n, few = chance.randrange(1000), chance.randint(1, 6)
    numbers = {"n": n, "m": chance.randrange(1, 100), "few": few, "half": few % 2}
    accounts = {"a": chance.randint(1, 50), "b": chance.randint(1, 50)}
    return [statement.format(**numbers, **accounts, kind=KINDS[n % 3]) for statement in statements]
