"""`python -m include.ops leases | journal OP | stop REASON | go`: what runs, what it did, and the order to stop, without Airflow.

The database is that of OPS_DSN, as `ops_runner`; its password may come from PGPASSFILE.
"""

from __future__ import annotations

import argparse
import getpass
import json
import sys
from collections.abc import Callable, Sequence

from include.errors import ConfigurationError, RunbookError
from include.ops import journal
from include.ops.database import OpsDatabase, address


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one of them; 1 with one sentence on standard error if it cannot be done."""
    options = vars(_parser().parse_args(arguments))
    verb = options.pop("verb")
    try:
        VERBS[verb](_database(), **options)
    except RunbookError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def leases(ops: OpsDatabase) -> None:
    """Print a line for each lease, and whether everything is ordered to stop."""
    with ops.session() as session:
        held = session.execute(
            "select resource, mode, holder, op_id::text, token, to_char(expires_at at time zone 'UTC', 'HH24:MI:SS'),"
            " expires_at <= clock_timestamp() from ops.lease order by token"
        ).fetchall()
    for resource, mode, holder, op_id, token, until, over in held:
        print(
            f"{resource:<28} {mode:<20} {'ran out' if over else 'until'} {until} UTC  {holder} ({op_id}, token {token})"
        )
    why = ops.ask("stopped")
    print(f"STOPPED: {why}" if why else f"{len(held)} leases, no stop order")


def show_journal(ops: OpsDatabase, op_id: str) -> None:
    """Print the lines of one operation."""
    for each in journal.entries(ops, op_id):
        print(f"{each.at:%Y-%m-%d %H:%M:%S} {each.phase:<8} {each.step:<20} {each.by}  {json.dumps(each.detail)[:200]}")


def stop(ops: OpsDatabase, reason: str) -> None:
    """Order every operation to stop before its next effect."""
    if not reason.strip():
        raise ConfigurationError('an order to stop needs a reason, which everybody will read: make stop REASON="…"')
    ops.ask("order_stop", reason, getpass.getuser())
    print("ordered: nothing begins, and what runs stops before its next effect; `go` lifts the order")


def go(ops: OpsDatabase) -> None:
    """Lift every stop order."""
    print(f"{ops.ask('lift_stop', getpass.getuser())} stop orders lifted")


VERBS: dict[str, Callable[..., None]] = {"leases": leases, "journal": show_journal, "stop": stop, "go": go}


def _database() -> OpsDatabase:
    return OpsDatabase({"conninfo": address("as ops_runner")})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.ops", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("leases", help="who holds what, and whether everything is ordered to stop")
    verbs.add_parser("journal", help="what an operation did").add_argument("op_id")
    verbs.add_parser("stop", help="order every operation to stop before its next effect").add_argument("reason")
    verbs.add_parser("go", help="lift the order")
    return parser


if __name__ == "__main__":
    sys.exit(main())
