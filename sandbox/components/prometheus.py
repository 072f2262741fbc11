"""Prometheus with five weeks of history, and Alertmanager that reaches the receivers."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import yaml

from sandbox.binaries import program
from sandbox.component import Component, NotReadyError
from sandbox.seed.metrics import fill
from sandbox.site import PROJECT, Site

RULES = PROJECT / "deploy" / "prometheus"
RETENTION_DAYS = 60
LOOK_EVERY = "5s"
SCRAPED = {
    "simulator": "simulator_metrics",
    "watch": "watch",
    "alertmanager": "alertmanager",
    "prometheus": "prometheus",
}
"""Scrape job -> name of the port."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}

_SLACK_TITLE = (
    '[{{ .Status | toUpper }}{{ if eq .Status "firing" }}:{{ .Alerts.Firing | len }}{{ end }}]'
    " {{ .CommonLabels.alertname }}"
)
_SLACK_TEXT = (
    "{{ range .Alerts }}*{{ .Labels.severity }}* {{ .Annotations.summary }}"
    '{{ if eq .Status "firing" }}\n→ {{ .Annotations.action }}{{ else }} (over){{ end }}\n{{ end }}'
)
_PAGE_TEXT = "{{ (index .Alerts 0).Annotations.summary }}{{ if gt (len .Alerts) 1 }} (and {{ len (slice .Alerts 1) }} more){{ end }}"

# Each is read as YAML before it is sent, so that a colon in a sentence would tear it apart: hence JSON strings.
_PAGE_DETAILS = {
    "action": "{{ (index .Alerts 0).Annotations.action | toJson }}",
    "firing": "{{ range .Alerts.Firing }}- {{ .Annotations.summary | toJson }}\n{{ end }}",
    "resolved": "{{ range .Alerts.Resolved }}- {{ .Annotations.summary | toJson }}\n{{ end }}",
}


def prometheus_config(site: Site) -> dict[str, Any]:
    """Return prometheus.yml: what is scraped, which rules are judged, where alerts go."""
    return {
        "global": {"scrape_interval": LOOK_EVERY, "scrape_timeout": "4s", "evaluation_interval": LOOK_EVERY},
        "storage": {"tsdb": {"retention": {"time": f"{RETENTION_DAYS}d"}}},
        "rule_files": [str(site.path("prometheus", "rules", "*.rules.yaml"))],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [_target(site, "alertmanager")]}]}]},
        "scrape_configs": [_scrape(job, _target(site, port)) for job, port in SCRAPED.items()],
    }


def _target(site: Site, port: str) -> str:
    return f"127.0.0.1:{site.ports[port]}"


def _scrape(job: str, target: str) -> dict[str, Any]:
    # The instance is the job's name, not its port, so that a series goes on where its backfilled past ends.
    return {"job_name": job, "static_configs": [{"targets": [target], "labels": {"instance": job}}]}


def alertmanager_config(site: Site) -> dict[str, Any]:
    """Return alertmanager.yml: everything to Slack, what pages to PagerDuty as well."""
    slack = _slack_to(site)
    return {
        "global": {"resolve_timeout": "1m"},
        "route": {
            "receiver": "slack",
            "group_by": ["alertname"],
            "group_wait": "5s",
            "group_interval": "5s",
            "repeat_interval": "4h",
            "routes": [{"receiver": "page", "matchers": ['severity="page"']}],
        },
        "receivers": [
            {"name": "slack", "slack_configs": [slack]},
            {"name": "page", "slack_configs": [slack], "pagerduty_configs": [_pagerduty_at(site)]},
        ],
    }


def _slack_to(site: Site) -> dict[str, Any]:
    return {
        "api_url_file": str(_webhook_file(site)),
        "channel": "#alerts",
        "username": "Alertmanager",
        "send_resolved": True,
        "title": _SLACK_TITLE,
        "text": _SLACK_TEXT,
        "fallback": _SLACK_TITLE,
    }


def _pagerduty_at(site: Site) -> dict[str, Any]:
    return {
        "url": f"{site.url('receivers')}/pagerduty/v2/enqueue",
        "routing_key_file": str(_routing_key_file(site)),
        "send_resolved": True,
        "severity": "critical",
        "description": _PAGE_TEXT,
        "details": _PAGE_DETAILS,
    }


def _webhook_file(site: Site) -> Path:
    return site.folder("alertmanager") / "slack-webhook-url"


def _routing_key_file(site: Site) -> Path:
    return site.folder("alertmanager") / "pagerduty-routing-key"


def scaled(rules: Mapping[str, Any], speed: float) -> dict[str, Any]:
    """Return alert rules whose `for` is `speed` times shorter, for tests in scaled time."""
    groups = [{**group, "rules": [_scaled_rule(rule, speed) for rule in group["rules"]]} for group in rules["groups"]]
    return {**rules, "groups": groups}


def _scaled_rule(rule: Mapping[str, Any], speed: float) -> dict[str, Any]:
    return {**rule, "for": f"{round(1000 * seconds(rule['for']) / speed)}ms"} if "for" in rule else dict(rule)


def seconds(duration: str) -> float:
    """Read a duration as Prometheus writes it: `1h30m` -> 5400.0."""
    return sum(float(number) * _SECONDS[unit] for number, unit in _DURATION.findall(duration))


def alert_speed() -> float:
    """Return by how much alerts are hurried: 1, or what a test wrote into SANDBOX_ALERT_SPEED."""
    return float(os.environ.get("SANDBOX_ALERT_SPEED", "1"))


def _write_rules(site: Site) -> None:
    folder = site.folder("prometheus", "rules")
    for file in RULES.glob("*.rules.yaml"):
        rules = scaled(yaml.safe_load(file.read_text()), alert_speed())
        (folder / file.name).write_text(yaml.safe_dump(rules, sort_keys=False, width=120))


def _prepare_prometheus(site: Site) -> None:
    folder = site.folder("prometheus")
    _write_rules(site)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(prometheus_config(site), sort_keys=False))
    fill(folder / "data", datetime.now(UTC))


def _prepare_alertmanager(site: Site) -> None:
    folder = site.folder("alertmanager")
    _write_private(_webhook_file(site), f"{site.url('receivers')}/slack/services/{site.secret('slack-webhook')}")
    _write_private(_routing_key_file(site), site.secret("pagerduty-routing-key"))
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(alertmanager_config(site), sort_keys=False))


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)


def _prometheus_command(site: Site) -> list[str]:
    return [
        str(program("prometheus")),
        f"--config.file={site.path('prometheus', 'prometheus.yml')}",
        f"--storage.tsdb.path={site.path('prometheus', 'data')}",
        f"--web.listen-address={_target(site, 'prometheus')}",
        f"--web.external-url={site.url('prometheus')}",  # of the links in alerts
        "--log.level=warn",
    ]


def _alertmanager_command(site: Site) -> list[str]:
    return [
        str(program("alertmanager")),
        f"--config.file={site.path('alertmanager', 'alertmanager.yml')}",
        f"--storage.path={site.path('alertmanager', 'data')}",
        f"--web.listen-address={_target(site, 'alertmanager')}",
        f"--web.external-url={site.url('alertmanager')}",
        "--cluster.listen-address=",  # it would listen on every address
        "--log.level=warn",
    ]


def _prometheus_ready(site: Site) -> None:
    _ready_at(f"{site.url('prometheus')}/-/ready")


def _alertmanager_ready(site: Site) -> None:
    _ready_at(f"{site.url('alertmanager')}/-/ready")


def _ready_at(url: str) -> None:
    try:
        httpx.get(url, timeout=2, trust_env=False).raise_for_status()
    except httpx.HTTPError as error:
        raise NotReadyError(f"{url}: {error}") from error


COMPONENTS = (
    Component(
        name="prometheus",
        prepare=_prepare_prometheus,
        command=_prometheus_command,
        ready=_prometheus_ready,
        ports=("prometheus",),
    ),
    Component(
        name="alertmanager",
        prepare=_prepare_alertmanager,
        command=_alertmanager_command,
        ready=_alertmanager_ready,
        ports=("alertmanager",),
    ),
)
