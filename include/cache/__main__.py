"""`python -m include.cache show | undo OP --connections FILE`: look at a removal of cache keys, or bring all of them back.

FILE is what `airflow connections export --file-format json FILE` writes (chmod 600); the settings are those of OPS_ENVIRONMENT.
A key that somebody has made anew since stays as it is. `undo` may be called again.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from include.cache.copies import Opener
from include.cache.undo import BROUGHT, MADE_ANEW, RAN_OUT, Undo, undo
from include.recovery import by_file, by_hand
from include.recovery.by_hand import Asked, Verb


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one of them; 1 with one sentence on standard error if it cannot be done."""
    return by_hand.main("include.cache", __doc__, VERBS, arguments)


def _undo(asked: Asked) -> None:
    became = undo(_its(asked), asked.ops, asked.op_id, holder=asked.holder, why=asked.why)
    print(
        f"undone: {became[BROUGHT]} keys are back, {became[MADE_ANEW]} were made anew meanwhile and stay as they are,"
        f" {became[RAN_OUT]} have run out by themselves since"
    )


def _its(asked: Asked) -> Undo:
    connections, ids = asked.connections, asked.chosen.connections
    key = str(connections[ids.backup_key].get("password", ""))
    reader = by_file.store(connections, asked.chosen, ids.backup_verifier)
    return Undo(
        redis=lambda: by_file.redis(connections, ids.cache_remover),
        opener=Opener(reader, key, f"{ids.backup_key} in {connections.path}"),
        chosen=asked.chosen,
    )


VERBS = {"undo": Verb("bring all of its keys back", _undo, takes_back=True)}


if __name__ == "__main__":
    sys.exit(main())
