"""Commands about one operation, for a person without Airflow: `python -m include.recovery show | resume | rollback`, and its like."""

from __future__ import annotations

import argparse
import getpass
import logging
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from include import settings
from include.errors import ConfigurationError, RunbookError
from include.ops import gate, journal
from include.ops.__main__ import show_journal
from include.ops.database import OpsDatabase
from include.recovery import by_file
from include.recovery.by_file import Connections
from include.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a person asked for.

    :param holder: who that is, for the lease.
    :param why: of one who takes something back; kept in the journal.
    """

    op_id: str
    holder: str
    why: str
    connections: Connections
    chosen: Settings
    ops: OpsDatabase

    def refuse_unless_begun(self, kind: str) -> None:
        """Raise ConfigurationError if the operation is of another kind or has not used its plan: nothing can go on or be undone."""
        if not journal.last(journal.entries(self.ops, self.op_id), gate.USE):
            raise ConfigurationError(
                f"operation {self.op_id} has not begun: nothing can go on or be undone; a recovery begins in Airflow, with its"
                " approval"
            )
        if (found := gate.newest(self.ops, self.op_id).plan.kind) != kind:
            raise ConfigurationError(f"operation {self.op_id} is a {found} and no {kind}: nothing was changed")


@dataclass(frozen=True)
class Verb:
    """One thing that can be asked for."""

    said: str
    deed: Callable[[Asked], None]
    takes_back: bool = False


SHOW = Verb("what it did", lambda asked: show_journal(asked.ops, asked.op_id))


def main(module: str, about: str | None, verbs: Mapping[str, Verb], arguments: Sequence[str] | None) -> int:
    """Do one of the verbs, or show the journal; 1 with one sentence on standard error if it cannot be done."""
    offered = {"show": SHOW, **verbs}
    options = _parser(module, about, offered).parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    try:
        offered[options.verb].deed(_asked(options))
    except RunbookError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _asked(options: argparse.Namespace) -> Asked:
    chosen, connections = settings.load(), Connections.read(options.connections)
    return Asked(
        op_id=_id(options.op_id),
        holder=f"{getpass.getuser()}@{socket.gethostname()}",
        why=getattr(options, "why", ""),
        connections=connections,
        chosen=chosen,
        ops=by_file.ops(connections, chosen),
    )


def _id(text: str) -> str:
    """Return it as marks and journals spell it; the database would take other spellings for the same, and a mark would not."""
    try:
        return str(UUID(text))
    except ValueError:
        raise ConfigurationError(f"{text!r} is no id of an operation; its report and the journal name it") from None


def _parser(module: str, about: str | None, verbs: Mapping[str, Verb]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=about)
    offered = parser.add_subparsers(dest="verb", required=True)
    for name, verb in verbs.items():
        one = offered.add_parser(name, help=verb.said)
        one.add_argument("op_id", help="id of the operation: its report and the journal name it")
        one.add_argument("--connections", type=Path, required=True, metavar="FILE")
        if verb.takes_back:
            one.add_argument("--why", default="taken back by hand", help="kept in the journal")
    return parser
