"""`python -m include.configuration show | resume | rollback OP --connections FILE`: finish or undo a recovery without Airflow.

FILE is what `airflow connections export --file-format json FILE` writes (chmod 600); the settings are those of OPS_ENVIRONMENT.
`resume` goes on with an operation whose plan was approved and used; it approves nothing.
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
from include.configuration import by_file, operation
from include.configuration.request import Recovery, Request
from include.errors import ConfigurationError, RunbookError
from include.ops import journal
from include.ops.__main__ import show_journal
from include.recovery.by_file import Connections, ops


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
    database, holder = ops(connections, chosen), f"{getpass.getuser()}@{socket.gethostname()}"
    if options.verb == "show":
        show_journal(database, options.op_id)
        return
    if not journal.last(journal.entries(database, options.op_id), operation.USE):
        raise ConfigurationError(
            f"operation {options.op_id} has not begun: nothing can go on or be undone; a recovery begins in Airflow, with its approval"
        )
    request = Request(op_id=options.op_id, reason="")
    recovery = Recovery(request=request, access=by_file.access(connections, chosen), chosen=chosen)
    if options.verb == "rollback":
        operation.take_back(recovery, database, holder=holder, why=options.why)
        print(f"undone: {operation.LEFT}")
        return
    facts = operation.act(recovery, database, holder=holder)
    print(*operation.told(facts), sep="\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.configuration", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, said in (
        ("show", "what it did"),
        ("resume", "go on to its end"),
        ("rollback", "put back what it overwrote"),
    ):
        one = verbs.add_parser(verb, help=said)
        one.add_argument("op_id", help="id of the operation: the report and the journal name it")
        one.add_argument("--connections", type=Path, required=True, metavar="FILE")
        if verb == "rollback":
            one.add_argument("--why", default="taken back by hand", help="kept in the journal")
    return parser


if __name__ == "__main__":
    sys.exit(main())
