"""`python -m include.recovery show | resume | rollback OP --connections FILE`: finish or undo a recovery without Airflow.

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
from include.errors import ConfigurationError, RunbookError
from include.ops import journal
from include.ops.__main__ import show_journal
from include.ops.database import OpsDatabase
from include.recovery import by_file, operation
from include.recovery.request import Recovery, Request


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
    connections = by_file.Connections.read(options.connections)
    ops, holder = by_file.ops(connections, chosen), f"{getpass.getuser()}@{socket.gethostname()}"
    if options.verb == "show":
        show_journal(ops, options.op_id)
        return
    _refuse_unknown(ops, options.op_id)
    request = Request(op_id=options.op_id, reason="")
    recovery = Recovery(request=request, access=by_file.access(connections, chosen), chosen=chosen)
    if options.verb == "rollback":
        operation.take_back(recovery, ops, holder=holder, why=options.why)
        print("undone: everything is as it was before; what was written since the swap stays in the restored database")
    else:
        operation.act(recovery, ops, holder=holder)
        print("done: the restored database is in use, and the one from before stays beside it")


def _refuse_unknown(ops: OpsDatabase, op_id: str) -> None:
    if not journal.last(journal.entries(ops, op_id), operation.USE):
        raise ConfigurationError(
            f"operation {op_id} has not begun: nothing can go on or be undone; a recovery begins in Airflow, with its approval"
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.recovery", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, said in (("show", "what it did"), ("resume", "go on to its end"), ("rollback", "take all of it back")):
        one = verbs.add_parser(verb, help=said)
        one.add_argument(
            "op_id", help="id of the operation: the report, the journal and the comment of its databases name it"
        )
        one.add_argument("--connections", type=Path, required=True, metavar="FILE")
        if verb == "rollback":
            one.add_argument("--why", default="taken back by hand", help="kept in the journal")
    return parser


if __name__ == "__main__":
    sys.exit(main())
