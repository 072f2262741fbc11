"""Every policy value of the runbooks, typed, bounded, each with its reason.

A value comes from, strongest first: an environment variable (`OPS_` and the path joined by `__`, as in
`OPS_POSTGRES__CONNECTIONS_WARNING_PERCENT=85`), the file of the place (`config/<OPS_ENVIRONMENT>.yaml`), the default here.
Endpoints and credentials are not here: they are Airflow Connections, whose ids are.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, YamlConfigSettingsSource

from include.errors import ConfigurationError

CONFIG = Path(__file__).resolve().parent.parent / "config"


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"{name!r} is no time zone; write an IANA name such as Europe/Berlin")
    return name


TimeZoneName = Annotated[str, AfterValidator(_known_zone)]
Percent = Annotated[float, Field(ge=0, le=100)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Limits(BaseModel):
    """A group of thresholds: frozen, and a misspelt name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Connections(Limits):
    """Ids of the Airflow Connections, one for each family of rights."""

    kubernetes: str = "orchestrator_kubernetes_read"
    postgres: str = "orchestrator_postgres_health"
    redis: str = "orchestrator_redis_health"
    prometheus: str = "orchestrator_prometheus"
    grafana: str = "orchestrator_grafana"
    pagerduty_api: str = "orchestrator_pagerduty_api"
    pagerduty_events: str = "orchestrator_pagerduty_events"
    slack: str = "orchestrator_slack"
    evidence: str = "ops_postgres_evidence"


class Settings(BaseSettings):
    """All of it; read once a process by `load`."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix="OPS_", env_nested_delimiter="__")

    environment: Literal["sandbox", "staging", "production"] = "sandbox"
    code_version: str = "unknown"  # the commit that runs; `make up` and the image set it, the evidence records it
    time_zone: TimeZoneName = "UTC"  # of the team: 09:00 means their morning
    maintenance_time_zone: TimeZoneName = "UTC"  # of the customers: 02:00 means their night
    namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")] = "ai-orchestrator"
    connections: Connections = Connections()

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], env_settings: PydanticBaseSettingsSource, **others: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file over default."""
        return env_settings, YamlConfigSettingsSource(settings_cls, yaml_file=_file_of_the_place())

    @property
    def zone(self) -> ZoneInfo:
        """The team's time zone."""
        return ZoneInfo(self.time_zone)


def _file_of_the_place() -> Path:
    return CONFIG / f"{os.environ.get('OPS_ENVIRONMENT', 'sandbox')}.yaml"


@lru_cache
def load() -> Settings:
    """Read the settings; ConfigurationError names the field, the rule and where to change it."""
    try:
        return Settings()
    except ValidationError as error:
        raise ConfigurationError(_one_sentence(error)) from None


def _one_sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    variable = "OPS_" + "__".join(str(part) for part in first["loc"]).upper()
    return f"setting {field}: {first['msg']} (got {str(first['input'])[:80]!r}); change it in {_file_of_the_place()} or in {variable}"
