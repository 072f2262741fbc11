"""Ways in which a backup can be wrong: what lies in the bucket, what it says of itself, and what comes out of it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pyrage

from include.backups import keys, manifest, sealing
from include.backups.prove import Prover
from include.backups.take import Taken
from sandbox.components import s3
from tests.include.backups.world import World

OBJECTS = (keys.DUMP, keys.FINGERPRINT, keys.GLOBALS)
FILES = (*OBJECTS, keys.MANIFEST)


@dataclass(frozen=True)
class Scene:
    """Today's backup as files on the store's disk, and yesterday's, from which things can be mixed in."""

    world: World
    today: Taken
    yesterday: Taken
    empty: Taken

    def file(self, name: str, of: Taken | None = None) -> Path:
        """Where an object lies on the disk of the store."""
        place = self.world.site.path("s3", "objects", s3.BUCKET)
        return place / (of or self.today).manifest.facts.key / name

    @contextmanager
    def intact(self) -> Iterator[None]:
        """Put back what was damaged; the files stay the same ones, since the store keeps what it knows of them beside them."""
        whole = {name: self.file(name).read_bytes() for name in FILES}
        try:
            yield
        finally:
            for name, content in whole.items():
                self.file(name).write_bytes(content)

    def forge(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the manifest and make its checksum right again."""
        body = json.loads(self.file(keys.MANIFEST).read_bytes())["manifest"]
        change(body)
        text = manifest._canonical(body)
        whole = manifest._canonical({"manifest": body, "sha256": manifest.sha256(text)})
        self.file(keys.MANIFEST).write_bytes(whole)

    def replace(self, name: str, plain: bytes, to: Mapping[str, str]) -> None:
        """Seal something else, put it there, and let the manifest say so."""
        sealed = io.BytesIO()
        sealing.seal(io.BytesIO(plain), sealed, sealing.recipients(to))
        self.file(name).write_bytes(sealed.getvalue())
        said = {"bytes": len(sealed.getvalue()), "sha256": manifest.sha256(sealed.getvalue())}
        said |= {"plain_bytes": len(plain), "plain_sha256": manifest.sha256(plain), "parts": 1}
        self.forge(lambda body: body["objects"][name].update(said))

    def opened(self, name: str, of: Taken | None = None) -> bytes:
        """What is inside of an object."""
        identity = sealing.identity(self.world.prover().key, "the test")
        plain = io.BytesIO()
        sealing.unseal(io.BytesIO(self.file(name, of).read_bytes()), plain, identity)
        return plain.getvalue()


Damage = Callable[[Scene, Random], None]


def flipped_bit(name: str) -> Damage:
    def damage(scene: Scene, chance: Random) -> None:
        content = bytearray(scene.file(name).read_bytes())
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        scene.file(name).write_bytes(content)

    return damage


def cut_short(scene: Scene, chance: Random) -> None:
    file = scene.file(chance.choice(FILES))
    file.write_bytes(file.read_bytes()[: chance.randrange(file.stat().st_size)])


def missing_middle(scene: Scene, chance: Random) -> None:
    content = scene.file(keys.DUMP).read_bytes()
    start, end = sorted(chance.sample(range(len(content)), 2))
    scene.file(keys.DUMP).write_bytes(content[:start] + content[end:])


def zeroed_block(scene: Scene, chance: Random) -> None:
    content = bytearray(scene.file(keys.DUMP).read_bytes())
    start = chance.randrange(len(content))
    content[start : start + 4096] = bytes(len(content[start : start + 4096]))
    scene.file(keys.DUMP).write_bytes(content)


def appended(scene: Scene, chance: Random) -> None:
    with scene.file(chance.choice(FILES)).open("ab") as file:
        file.write(chance.randbytes(chance.randrange(1, 100)))


def gone(scene: Scene, chance: Random) -> None:
    scene.file(chance.choice(OBJECTS)).write_bytes(b"")


def mixed_up(scene: Scene, chance: Random) -> None:
    one, other = chance.sample(OBJECTS, 2)
    scene.file(one).write_bytes(scene.file(other).read_bytes())


def object_of_yesterday(scene: Scene, chance: Random) -> None:
    name = chance.choice(OBJECTS)
    scene.file(name).write_bytes(scene.file(name, scene.yesterday).read_bytes())


def manifest_of_yesterday(scene: Scene, chance: Random) -> None:
    scene.file(keys.MANIFEST).write_bytes(scene.file(keys.MANIFEST, scene.yesterday).read_bytes())


def all_of_yesterday(scene: Scene, chance: Random) -> None:
    for name in FILES:
        scene.file(name).write_bytes(scene.file(name, scene.yesterday).read_bytes())


def edited_manifest(scene: Scene, chance: Random) -> None:
    text = scene.file(keys.MANIFEST).read_text()
    digits = [place for place, letter in enumerate(text) if letter.isalnum()]
    place = chance.choice(digits)
    other = chance.choice([letter for letter in "0123456789abcdef" if letter != text[place]])
    scene.file(keys.MANIFEST).write_text(text[:place] + other + text[place + 1 :])


def forged_manifest(scene: Scene, chance: Random) -> None:
    def change(body: dict[str, Any]) -> None:
        inner, name = chance.choice(list(leaves(body)))
        inner[name] = other(inner[name], chance)

    scene.forge(change)


def leaves(body: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Every value of a manifest, with what holds it."""
    for name, value in body.items():
        if isinstance(value, dict):
            yield from leaves(value)
        else:
            yield body, name


def other(value: Any, chance: Random) -> Any:
    """A value of the same kind that is not the same."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int):
        return value + chance.choice([-1, 1, 1000])
    return f"{value}{chance.choice('0a')}"


def dump_of_yesterday_under_todays_manifest(scene: Scene, chance: Random) -> None:
    scene.replace(keys.DUMP, scene.opened(keys.DUMP, scene.yesterday), scene.world.limits().recipients)


def fingerprint_of_yesterday_under_todays_manifest(scene: Scene, chance: Random) -> None:
    scene.replace(keys.FINGERPRINT, scene.opened(keys.FINGERPRINT, scene.yesterday), scene.world.limits().recipients)


def dump_of_an_empty_database(scene: Scene, chance: Random) -> None:
    scene.replace(keys.DUMP, scene.opened(keys.DUMP, scene.empty), scene.world.limits().recipients)


def sealed_to_others(scene: Scene, chance: Random) -> None:
    others = {name: str(pyrage.x25519.Identity.generate().to_public()) for name in ("a", "b")}
    name = chance.choice(OBJECTS)
    scene.replace(name, scene.opened(name), others)


def globals_without_a_role(scene: Scene, chance: Random) -> None:
    lines = scene.opened(keys.GLOBALS).splitlines(keepends=True)
    lines.remove(chance.choice([line for line in lines if line.startswith(b"CREATE ROLE ")]))
    scene.replace(keys.GLOBALS, b"".join(lines), scene.world.limits().recipients)


IN_THE_BUCKET: Mapping[str, Damage] = {
    **{f"a flipped bit in {name}": flipped_bit(name) for name in FILES},
    "cut short": cut_short,
    "a piece is missing": missing_middle,
    "a block of zeros": zeroed_block,
    "something appended": appended,
    "an object is empty": gone,
    "objects mixed up": mixed_up,
    "an object of yesterday": object_of_yesterday,
    "the manifest of yesterday": manifest_of_yesterday,
    "all of yesterday": all_of_yesterday,
    "an edited manifest": edited_manifest,
    "a forged manifest": forged_manifest,
    "the dump of yesterday, and a manifest that says so": dump_of_yesterday_under_todays_manifest,
    "the fingerprint of yesterday, and a manifest that says so": fingerprint_of_yesterday_under_todays_manifest,
    "the dump of an empty database, and a manifest that says so": dump_of_an_empty_database,
    "sealed to others, and a manifest that says so": sealed_to_others,
    "globals that lack a role, and a manifest that says so": globals_without_a_role,
}

IN_THE_COPY: Mapping[str, str] = {
    "a changed row": "update {table} set note = note || '.' where id = {id}",
    "a row with another number": "update {table} set amount = amount + 0.01 where id = {id}",
    "1.0 instead of 1.00": "update {table} set amount = trunc(amount, 1) where id = {id}",
    "two rows that changed places": """update {table} a set note = b.note from {table} b
        where a.id in ({id}, {id} + 1) and b.id in ({id}, {id} + 1) and a.id <> b.id""",
    "a row is missing": "delete from {table} where id = {id}",
    "a row too many": "insert into {table} (id, amount, note) select max(id) + 1, 1.00, 'x' from {table}",
    "a row twice instead of another": """update {table} a set amount = b.amount, note = b.note, doc = b.doc from {table} b
        where a.id = {id} and b.id = {id} + 1""",
    "a missing table": "drop table {table} cascade",
    "an empty table": "truncate {table}",
    "a missing index": "drop index scene.by_note_{n}",
    "a missing constraint": "alter table {table} drop constraint positive",
    "another default": "alter table {table} alter note set default 'other'",
    "a column that may be empty": "alter table {table} alter note drop not null",
    "a sequence that is behind": "select setval('scene.thing_{n}_id_seq', 1)",
    "a sequence that is ahead": "select setval('scene.thing_{n}_id_seq', 100000)",
    "a grant that was lost": "revoke select on {table} from pg_monitor",
    "a grant too many": "grant delete on {table} to public",
    "another comment": "comment on table {table} is 'other'",
    "a large object that changed": "select lo_put(1000 + {n}, 5, 'x')",
    "a large object that is missing": "select lo_unlink(1000 + {n})",
    "another view": "create or replace view scene.seen_{n} as select id, note from {table} where id > 1",
    "another function": "create or replace function scene.twice_{n}(x int) returns int language sql as 'select x * 3'",
    "a trigger that is off": "alter table {table} disable trigger kept",
    "a policy that is missing": "drop policy own on {table}",
    "a type with another label": "alter type scene.mood_{n} rename value 'glad' to 'sad'",
}

TABLES = 4
ROWS = 300

SCENE = """
    create table scene.thing_{n} (
        id serial primary key, amount numeric not null constraint positive check (amount > 0), note text not null default '', doc jsonb
    );
    insert into scene.thing_{n} (amount, note, doc)
        select round((i * {n} * 1.37)::numeric, 2) + 0.01, md5((i * {n})::text), jsonb_build_object('n', i * {n})
        from generate_series(1, {rows}) i;
    create index by_note_{n} on scene.thing_{n} (note);
    create view scene.seen_{n} as select id, note from scene.thing_{n} where id > 0;
    create function scene.twice_{n}(x int) returns int language sql as 'select x * 2';
    create function scene.kept_{n}() returns trigger language plpgsql as 'begin return new; end';
    create trigger kept before update on scene.thing_{n} for each row execute function scene.kept_{n}();
    create type scene.mood_{n} as enum ('glad', 'cross');
    alter table scene.thing_{n} enable row level security;
    create policy own on scene.thing_{n} using (id > 0);
    grant select on scene.thing_{n} to pg_monitor;
    comment on table scene.thing_{n} is 'thing {n}';
    select lo_from_bytea(1000 + {n}, convert_to(repeat('large {n} ', 1000), 'utf8'));
"""


def fill(world: World) -> None:
    """Make the tables that the damages of the copy know."""
    with world.superuser() as connection:
        connection.execute("create schema scene")
        for number in range(1, TABLES + 1):
            connection.execute(SCENE.format(n=number, rows=ROWS).encode())


def in_the_copy(name: str, chance: Random) -> str:
    """The statement that damages a restored copy."""
    number = chance.randint(1, TABLES)
    return IN_THE_COPY[name].format(table=f"scene.thing_{number}", id=chance.randint(2, ROWS - 1), n=number)


class Tampering(Prover):
    """A prover whose restored copy is damaged before it is compared."""

    statement: str

    @classmethod
    def of(cls, prover: Prover, statement: str) -> Tampering:
        tampering = cls(**vars(prover))
        object.__setattr__(tampering, "statement", statement)
        return tampering

    def _contents(self, session: Any) -> Any:
        session.execute(self.statement.encode())
        return super()._contents(session)
