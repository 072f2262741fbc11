"""What holds credentials does not show them, wherever it is printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from include.backups.login import Login
from include.backups.prove import Prover
from include.ops.database import OpsDatabase
from include.recovery.beside import Restorer
from include.recovery.by_file import Connections

CANARY = "hush-canary"
NOTHING: Any = None


@pytest.mark.parametrize(
    "holder",
    [
        Login({"password": CANARY}),
        OpsDatabase({"conninfo": f"password={CANARY}"}),
        Connections(Path("file"), {"id": {"password": CANARY}}),
        Prover(store=NOTHING, server=NOTHING, key=CANARY, key_from="here", limits=NOTHING),
        Restorer(
            store=NOTHING,
            login=NOTHING,
            reader=NOTHING,
            key=CANARY,
            key_from="here",
            backup=NOTHING,
            limits=NOTHING,
        ),
    ],
    ids=lambda holder: type(holder).__name__,
)
def test_its_repr_holds_no_secret(holder: object) -> None:
    assert CANARY not in repr(holder)
