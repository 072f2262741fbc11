"""`python -m include.cache show | undo OP --connections FILE`: look at a removal of cache keys, or bring all of them back.

FILE is what `airflow connections export --file-format json FILE` writes (chmod 600); the settings are those of OPS_ENVIRONMENT.
A key that somebody has made anew since stays as it is. `undo` may be called again.
"""

from __future__ import annotations

import argparse
import getpass
import logging
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from include import settings
from include.cache.copies import Opener
from include.cache.undo import BROUGHT, MADE_ANEW, Undo, undo
from include.errors import RunbookError
from include.ops.__main__ import show_journal
from include.recovery import by_file
from include.recovery.by_file import Connections
from include.settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one of them; 1 with one sentence on standard error if it cannot be done."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stdout)
    try:
        _do(options)
    except RunbookError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _do(options: argparse.Namespace) -> None:
    chosen = settings.load()
    connections = Connections.read(options.connections)
    ops = by_file.ops(connections, chosen)
    if options.verb == "show":
        show_journal(ops, options.op_id)
        return
    holder = f"{getpass.getuser()}@{socket.gethostname()}"
    became = undo(_its(connections, chosen), ops, options.op_id, holder=holder, why=options.why)
    print(f"undone: {became[BROUGHT]} keys are back, {became[MADE_ANEW]} were made anew meanwhile and stay as they are")


def _its(connections: Connections, chosen: Settings) -> Undo:
    ids = chosen.connections
    key = str(connections[ids.backup_key].get("password", ""))
    return Undo(
        redis=lambda: by_file.redis(connections, ids.cache_remover),
        opener=Opener(
            by_file.store(connections, chosen, ids.backup_verifier), key, f"{ids.backup_key} in {connections.path}"
        ),
        chosen=chosen,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.cache", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, said in (("show", "what it did"), ("undo", "bring all of its keys back")):
        one = verbs.add_parser(verb, help=said)
        one.add_argument("op_id", help="id of the operation: its plan and its report name it")
        one.add_argument("--connections", type=Path, required=True, metavar="FILE")
        if verb == "undo":
            one.add_argument("--why", default="taken back by hand", help="kept in the journal")
    return parser


if __name__ == "__main__":
    sys.exit(main())
