"""The archive in the bucket: rows as COPY writes them, with a line about themselves, zstd, sealed like a backup, read back by another.

`archive/orchestrator/execution_logs/2026/08/20/1f0c9a2e-0001-17-1.copy.zst.age`. Text keeps every type as PostgreSQL writes it, and
a person who has nothing but a key, `age`, `zstd` and `psql` can read it.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from include.backups import sealing
from include.backups.store import SMALL, Store, Version
from include.errors import ConfigurationError, RefusedError, VerificationError
from include.plans.cleanup import Chunk, Subject

if TYPE_CHECKING:
    from pyrage.x25519 import Identity, Recipient

    from include.cleanup.rows import Taken

FORMAT = 1
LEVEL = 3
PLAIN_MAX = SMALL
"""Bytes of one object, opened; ours are half of that at most, and whoever may put could put a few bytes that unpack to many."""
_NAME = re.compile(r"[0-9a-f]{8}-\d{4,}-\d+-\d+\.copy\.zst\.age")


class Header(BaseModel):
    """The first line of an object; an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int
    database: str
    subject: Subject
    day: date
    chunk: str
    op_id: str
    archived_at: AwareDatetime
    columns: tuple[tuple[str, str], ...]
    rows: int


@dataclass(frozen=True, kw_only=True)
class Kept:
    """An object that was stored and compared.

    :param sha256: of the opened bytes.
    """

    version: Version
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Opened:
    """An object that was fetched and opened; `lines` are its rows without their ends."""

    header: Header
    lines: Sequence[bytes]

    @property
    def ids(self) -> list[int]:
        """Of its rows; the column is found by its name."""
        place = [name for name, _ in self.header.columns].index("id")
        return [int(line.split(b"\t")[place]) for line in self.lines]


@dataclass(frozen=True, kw_only=True)
class Archive:
    """Who has a part in it.

    :param writer: puts, and can neither read nor delete.
    :param verifier: reads and locks, and can neither write nor delete.
    :param identity: private key of who reads back.
    """

    writer: Store
    verifier: Store
    to: Sequence[Recipient]
    identity: Identity
    database: str

    def keep(self, chunk: Chunk, taken: Taken, op_id: str, name: str) -> Kept:
        """Store rows and read them back; VerificationError if what is there is not what was sent."""
        header = self._header(chunk, taken, op_id)
        plain = header.model_dump_json().encode() + b"\n" + taken.text
        stored = self.writer.put(f"{self.prefix(chunk.subject, chunk.day)}{name}", self._sealed(plain), once=True)
        back = self._plain(stored)
        if back != plain:
            raise VerificationError(
                f"{stored.key} is not what was sent: nothing was deleted for it; look at the store, then run it again"
            )
        opened = _opened(stored.key, back)
        if opened.ids != list(taken.ids):
            raise VerificationError(f"{stored.key} holds other rows than were read: nothing was deleted for it")
        return Kept(version=stored, sha256=hashlib.sha256(plain).hexdigest())

    def lock(self, kept: Kept, until: datetime) -> None:
        """Let nobody remove it before a moment, and see that this holds."""
        self.verifier.lock(kept.version.key, kept.version.id, until)
        held = self.verifier.locked_until(kept.version.key, kept.version.id)
        if held is None or held < until - timedelta(seconds=1):
            raise VerificationError(
                f"{kept.version.key} is not locked until {until:%Y-%m-%d}: nothing was deleted for it"
            )

    def of_day(self, subject: Subject, day: date) -> list[tuple[Header, Version]]:
        """Open all that is kept of a day, one after the other, and return their first lines, the newest first."""
        found = [each for each in self.verifier.versions(self.prefix(subject, day)) if _is_ours(each.key)]
        opened = [(self.open(each).header, each) for each in found]
        return sorted(opened, key=lambda each: each[0].archived_at, reverse=True)

    def open(self, version: Version) -> Opened:
        """Fetch and open one object."""
        return _opened(version.key, self._plain(version))

    def prefix(self, subject: Subject, day: date) -> str:
        """Return what the keys of a day begin with."""
        return f"archive/{self.database}/{subject}/{day:%Y/%m/%d}/"

    def _header(self, chunk: Chunk, taken: Taken, op_id: str) -> Header:
        return Header(
            format=FORMAT,
            database=self.database,
            subject=chunk.subject,
            day=chunk.day,
            chunk=chunk.name,
            op_id=op_id,
            archived_at=taken.at,
            columns=tuple(taken.columns),
            rows=len(taken.ids),
        )

    def _sealed(self, plain: bytes) -> bytes:
        import zstandard

        sealed = io.BytesIO()
        packed = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress(plain)
        sealing.seal(io.BytesIO(packed), sealed, self.to)
        return sealed.getvalue()

    def _plain(self, version: Version) -> bytes:
        import zstandard

        packed = io.BytesIO()
        try:
            sealing.unseal(io.BytesIO(self.verifier.get(version.key, version.id)), packed, self.identity)
            with zstandard.ZstdDecompressor().stream_reader(packed.getvalue()) as unpacker:
                plain = unpacker.read(PLAIN_MAX + 1)
        except VerificationError as error:
            raise VerificationError(f"{version.key}: {error}") from None
        except zstandard.ZstdError:
            raise VerificationError(f"{version.key} does not unpack: damaged or cut short") from None
        if len(plain) > PLAIN_MAX:
            raise VerificationError(
                f"{version.key} unpacks to more than {PLAIN_MAX} bytes, as none of ours does; nothing of it was used, see who put it"
            )
        return plain


def newest_rows(opened: Iterable[Opened]) -> Iterator[tuple[Header, list[bytes]]]:
    """Return the rows of each object that no newer one has: a row that changed after it was archived is there twice."""
    known: set[int] = set()
    for each in opened:
        fresh = [(number, line) for number, line in zip(each.ids, each.lines, strict=True) if number not in known]
        known.update(number for number, _ in fresh)
        if fresh:
            yield each.header, [line for _, line in fresh]


def day_of(text: str) -> date:
    """Return the day that a person typed; ConfigurationError says how it is written."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        try:
            return date.fromisoformat(text)
        except ValueError:
            pass
    raise ConfigurationError(
        f"day: a day of the archive is written 2026-08-20, not {text[:40]!r}; nothing was changed, trigger it again"
    )


def subject_of(text: str) -> Subject:
    """Return the table that a person typed; ConfigurationError names those that there are."""
    if text not in set(Subject):
        raise ConfigurationError(
            f"table: the archive holds {', '.join(Subject)}, not {text[:40]!r}; nothing was changed, trigger it again"
        )
    return Subject(text)


def _is_ours(key: str) -> bool:
    return bool(_NAME.fullmatch(key.rpartition("/")[2]))


def _opened(key: str, plain: bytes) -> Opened:
    first, _, rest = plain.partition(b"\n")
    try:
        header = Header.model_validate_json(first)
    except ValidationError:
        raise VerificationError(f"{key} has no first line of ours: it is damaged, or of a newer version") from None
    if header.format != FORMAT:
        raise RefusedError(f"{key} is of format {header.format}, and this code reads {FORMAT}; use newer code")
    lines = rest.split(b"\n")[:-1]
    if len(lines) != header.rows:
        raise VerificationError(f"{key} holds {len(lines)} rows and says {header.rows}: it is damaged")
    return Opened(header=header, lines=lines)
