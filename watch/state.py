"""Since when each run is expected: the one thing the watch must remember over a restart."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from include.errors import ConfigurationError


def expected_since(folder: Path, dag_ids: Iterable[str], now: datetime) -> dict[str, datetime]:
    """Return when the watch first saw each of these in its list, which is now for those that are new."""
    file = folder / "expected_since.json"
    known = _read(file)
    since = {dag_id: known.get(dag_id, now) for dag_id in dag_ids}
    if since != known:
        _write(file, since)
    return since


def _read(file: Path) -> dict[str, datetime]:
    try:
        return {dag_id: datetime.fromisoformat(at) for dag_id, at in json.loads(file.read_text()).items()}
    except FileNotFoundError:
        return {}
    except (ValueError, AttributeError, OSError) as error:
        raise ConfigurationError(
            f"the state of the watch, {file}, cannot be read ({error}); remove it to begin anew"
        ) from None


def _write(file: Path, since: dict[str, datetime]) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        draft = file.with_suffix(".new")
        draft.write_text(json.dumps({dag_id: at.isoformat() for dag_id, at in since.items()}, indent=1))
        draft.replace(file)
    except OSError as error:
        raise ConfigurationError(
            f"the watch cannot write its state {file}: {error.strerror}; set WATCH_STATE"
        ) from None
