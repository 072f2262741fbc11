"""Where the watch looks, as whom, and how often: environment variables `WATCH_<NAME>`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import AwareDatetime, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from include.errors import ConfigurationError

PREFIX = "WATCH_"
EXPECTED_RUNS = Path(__file__).resolve().parent / "expected_runs.yaml"
BUCKET = ("s3_endpoint_url", "s3_region", "backup_bucket", "s3_access_key", "s3_secret_key")
"""All of them or none: needed as soon as a run in the list has the proof `good_backup`."""


class WatchSettings(BaseSettings):
    """All of it, read once at the start."""

    model_config = SettingsConfigDict(frozen=True, env_prefix=PREFIX)

    port: Annotated[int, Field(ge=0, le=65535)] = 9950  # of the exporter; 0 picks a free one
    address: str = "127.0.0.1"  # in a pod: the pod's own
    expected_runs: Path = EXPECTED_RUNS  # the list in git of what must run
    state: Path  # folder that outlives a restart: since when each run is expected
    evidence_dsn: SecretStr  # of the ops database, as ops_evidence_reader
    airflow_url: str = "http://127.0.0.1:8080"
    airflow_user: str = "watch"  # a viewer
    airflow_password: SecretStr
    s3_endpoint_url: str = ""  # of the store with the backups; on AWS https://s3.<region>.amazonaws.com
    s3_region: str = ""
    backup_bucket: str = ""  # as `backup.bucket` in the settings of the runbooks
    s3_access_key: str = ""  # of the user `watch`, who lists, and reads objects and tags (deploy/s3)
    s3_secret_key: SecretStr = SecretStr("")
    look_every_s: Annotated[float, Field(gt=0, le=60)] = 15  # the alerts count minutes
    timeout_s: Annotated[float, Field(gt=0, le=30)] = 5  # for each answer
    clock_start: AwareDatetime | None = None  # tests only: what the time is at the start
    clock_speed: Annotated[float, Field(gt=0)] = 1  # tests only: seconds of the watch in a real one

    @property
    def stale_after_s(self) -> float:
        """A look that is older says nothing any more: its source counts as unseen."""
        return 4 * self.look_every_s + 6 * self.timeout_s


def load() -> WatchSettings:
    """Read the environment; ConfigurationError names the variable and the rule."""
    _refuse_unknown(name for name in os.environ if name.startswith(PREFIX))
    try:
        return WatchSettings()
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        variable = f"{PREFIX}{str(first['loc'][0]).upper()}"
        raise ConfigurationError(f"{variable}: {first['msg']}; set it in the environment of the watch") from None


def require_bucket(settings: WatchSettings) -> None:
    """Refuse settings by which the bucket cannot be read; ConfigurationError names the first variable that is missing."""
    for name in BUCKET:
        if not getattr(settings, name):
            raise ConfigurationError(
                f"{PREFIX}{name.upper()} is not set, and a run in the list is proved by the bucket of the backups;"
                " set it in the environment of the watch"
            )


def _refuse_unknown(variables: Iterable[str]) -> None:
    known = {f"{PREFIX}{name.upper()}" for name in WatchSettings.model_fields}
    if unknown := sorted(set(variables) - known):
        raise ConfigurationError(f"{unknown[0]} is no setting of the watch; it knows {', '.join(sorted(known))}")
