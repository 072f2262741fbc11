"""`python -m include.recovery show | resume | rollback OP --connections FILE`: finish or undo a recovery without Airflow.

FILE is what `airflow connections export --file-format json FILE` writes (chmod 600); the settings are those of OPS_ENVIRONMENT.
`resume` goes on with an operation whose plan was approved and used; it approves nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from include.recovery import by_file, by_hand, operation
from include.recovery.by_hand import Asked, Verb
from include.recovery.request import KIND, Recovery, Request


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one of them; 1 with one sentence on standard error if it cannot be done."""
    return by_hand.main("include.recovery", __doc__, VERBS, arguments)


def _resume(asked: Asked) -> None:
    operation.act(_recovery(asked), asked.ops, holder=asked.holder)
    print("done: the restored database is in use, and the one from before stays beside it")


def _rollback(asked: Asked) -> None:
    operation.take_back(_recovery(asked), asked.ops, holder=asked.holder, why=asked.why)
    print("undone: everything is as it was before; what was written since the swap stays in the restored database")


def _recovery(asked: Asked) -> Recovery:
    asked.refuse_unless_begun(KIND)
    access = by_file.access(asked.connections, asked.chosen)
    return Recovery(request=Request(op_id=asked.op_id, reason=""), access=access, chosen=asked.chosen)


VERBS = {
    "resume": Verb("go on to its end", _resume),
    "rollback": Verb("take all of it back", _rollback, takes_back=True),
}


if __name__ == "__main__":
    sys.exit(main())
