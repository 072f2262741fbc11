from __future__ import annotations

import io
import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
import yaml

from sandbox.binaries import program
from sandbox.component import NotReadyError
from sandbox.components.prometheus import COMPONENTS, RULES, alertmanager_config, prometheus_config, scaled, seconds
from sandbox.seed import metrics
from sandbox.seed.series import families
from sandbox.site import Site, free_ports

NOW = datetime(2026, 11, 23, 19, 34, 17, tzinfo=UTC)
AN_HOUR = (int(NOW.timestamp()) - 3600, int(NOW.timestamp()), 60)


def rules() -> list[dict[str, Any]]:
    files = [yaml.safe_load(file.read_text()) for file in sorted(RULES.glob("*.rules.yaml"))]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def alert_cases() -> list[dict[str, Any]]:
    files = [yaml.safe_load(file.read_text()) for file in sorted((RULES / "tests").glob("*.test.yaml"))]
    return [case for file in files for test in file["tests"] for case in test["alert_rule_test"]]


@pytest.fixture
def bare_site(tmp_path: Path) -> Site:
    return Site.create(tmp_path, free_ports())


def drawn(begin: int, end: int, step: int, *, pods_end: int) -> dict[str, list[tuple[int, float]]]:
    out = io.StringIO()
    metrics.write(out, begin, end, step, pods_end=pods_end)
    *lines, last = out.getvalue().splitlines()
    assert last == "# EOF"
    samples: dict[str, list[tuple[int, float]]] = {}
    for line in lines:
        name, value, at = line.rsplit(" ", 2)
        samples.setdefault(name, []).append((int(at), float(value)))
    return samples


def test_every_alert_says_who_is_told_what_is_wrong_and_what_to_do() -> None:
    assert len(rules()) > 15
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "warning"}, rule["alert"]
        assert rule["annotations"].keys() == {"summary", "action"}, rule["alert"]
        assert seconds(rule["for"]) >= 60, rule["alert"]


def test_every_alert_is_seen_firing_and_most_of_them_silent() -> None:
    known = {rule["alert"] for rule in rules()}
    assert {case["alertname"] for case in alert_cases() if case["exp_alerts"]} == known
    always_judged = {"ErrorRatioHigh", "WorkflowSuccessLow"}  # their series that stay silent stand in the same case
    assert {case["alertname"] for case in alert_cases() if not case["exp_alerts"]} >= known - always_judged


def test_nothing_listens_or_is_scraped_beyond_loopback_and_no_secret_is_in_a_configuration(bare_site: Site) -> None:
    text = yaml.safe_dump_all([prometheus_config(bare_site), alertmanager_config(bare_site)])
    assert set(re.findall(r"\d+\.\d+\.\d+\.\d+", text)) == {"127.0.0.1"}
    for name in ("slack-webhook", "pagerduty-routing-key"):
        assert bare_site.secret(name) not in text


def test_scaling_hurries_the_waiting_and_leaves_the_rest() -> None:
    original: dict[str, Any] = {
        "groups": [{"name": "g", "rules": [{"alert": "A", "expr": "x > 1", "for": "10m"}, {"record": "r"}]}]
    }
    assert scaled(original, 600)["groups"][0]["rules"] == [
        {"alert": "A", "expr": "x > 1", "for": "1000ms"},
        {"record": "r"},
    ]
    assert original["groups"][0]["rules"][0]["for"] == "10m"


@pytest.mark.parametrize(("text", "expected"), [("90s", 90), ("1h30m", 5400), ("500ms", 0.5), ("2d", 172_800)])
def test_durations_are_read_as_prometheus_writes_them(text: str, expected: float) -> None:
    assert seconds(text) == expected


def test_every_family_draws_one_number_for_each_of_its_series() -> None:
    for family in families():
        assert len(family.sample(Random(1), 0.5, 60.0)) == len(family.series) == len(set(family.series))


def test_counters_never_fall_and_the_histogram_counts_the_requests() -> None:
    samples = drawn(*AN_HOUR, pods_end=AN_HOUR[1])
    for name, values in samples.items():
        if re.search("_(total|bucket|count|sum){", name):
            assert all(a[1] <= b[1] for a, b in pairwise(values)), name
    at_end = {name: values[-1][1] for name, values in samples.items()}
    for service in ("api-gateway", "auth-service"):
        of_service = {name: value for name, value in at_end.items() if f'service="{service}"' in name}
        requests = sum(value for name, value in of_service.items() if name.startswith("http_requests_total"))
        count = next(v for n, v in of_service.items() if n.startswith("http_request_duration_seconds_count"))
        limits = [v for n, v in of_service.items() if n.startswith("http_request_duration_seconds_bucket")]
        assert requests == count == limits[-1]
        assert limits == sorted(limits)


def test_the_past_is_healthy() -> None:
    at_end = {name: values[-1][1] for name, values in drawn(*AN_HOUR, pods_end=AN_HOUR[1]).items()}
    requests = {n: v for n, v in at_end.items() if n.startswith("http_requests_total")}
    assert 0 < sum(v for n, v in requests.items() if 'code="500"' in n) / sum(requests.values()) < 0.01
    depths = drawn(*AN_HOUR, pods_end=AN_HOUR[1])
    assert all(2 <= depth <= 15 for n, values in depths.items() if n.startswith("queue_depth") for _, depth in values)


def test_the_pods_of_the_past_end_before_live_ones_would_be_added_to_them() -> None:
    begin, end, step = AN_HOUR
    samples = drawn(begin, end, step, pods_end=end - 300)
    newest = {name: values[-1][0] for name, values in samples.items()}
    assert all((at < end - 300) == name.startswith("container_") for name, at in newest.items())


def test_stretches_leave_no_gap_and_no_stretch_crosses_a_block() -> None:
    cut = metrics.stretches(NOW - metrics.KEPT, NOW)
    assert all(before[1] == after[0] for before, after in pairwise(cut))
    assert NOW.timestamp() - 60 < cut[-1][1] <= NOW.timestamp() + 1
    assert all(begin // metrics.STRETCH_S == (end - 1) // metrics.STRETCH_S for begin, end, _ in cut)
    ages = {step: NOW.timestamp() - begin for begin, _, step in reversed(cut)}
    assert {step: round(age / 3600) for step, age in ages.items()} == {60: 26, 150: 8 * 24, 300: 36 * 24}


def test_a_pause_too_short_to_see_is_left_alone(tmp_path: Path) -> None:
    block = tmp_path / "01BLOCK"
    block.mkdir()
    (block / "meta.json").write_text(json.dumps({"maxTime": (NOW.timestamp() - 60) * 1000}))
    metrics.fill(tmp_path, NOW)
    assert [entry.name for entry in tmp_path.iterdir()] == ["01BLOCK"]


@pytest.mark.integration
def test_the_alert_rules_do_what_their_own_tests_say() -> None:
    files = [str(file) for file in sorted((RULES / "tests").glob("*.test.yaml"))]
    done = subprocess.run([program("promtool"), "test", "rules", *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def prometheus_on(site: Site) -> Iterator[str]:
    """Run Prometheus alone, as the platform would."""
    component = next(each for each in COMPONENTS if each.name == "prometheus")
    component.prepare(site)
    assert component.command
    with site.path("logs", "prometheus.log").open("a") as log:
        process = subprocess.Popen(component.command(site), stdout=log, stderr=log)
    try:
        for _ in range(100):
            try:
                component.ready(site)
                break
            except NotReadyError:
                time.sleep(0.1)
        yield site.url("prometheus")
    finally:
        process.terminate()
        process.wait(30)


def ask(url: str, query: str) -> dict[str, float]:
    answer = httpx.get(f"{url}/api/v1/query", params={"query": query}, trust_env=False).raise_for_status().json()
    return {str(sorted(each["metric"].items())): float(each["value"][1]) for each in answer["data"]["result"]}


def ask_one(url: str, query: str) -> float:
    (value,) = ask(url, query).values()
    return value


def wait_for_scrapes(url: str, at_least: int) -> None:
    for _ in range(100):
        if sum(ask(url, 'count_over_time(up{job="prometheus"}[1h])').values()) >= at_least:
            return
        time.sleep(0.5)
    raise AssertionError(f"Prometheus did not scrape itself {at_least} times")


@pytest.mark.integration
@pytest.mark.timeout(240)
def test_five_weeks_are_there_and_healthy_and_a_pause_is_filled_without_losing_what_was_scraped_before_it(
    bare_site: Site,
) -> None:
    # An hour ago: the first start fills up to then, as if the platform had been made up, used, and put away.
    data = bare_site.folder("prometheus") / "data"
    metrics.fill(data, datetime.now(UTC) - timedelta(hours=1))
    with prometheus_on(bare_site) as url:
        wait_for_scrapes(url, 3)
        assert ask_one(url, "count(count_over_time(queue_depth[1h] offset 35d))") == 1
        ratio = 'sum(increase(http_requests_total{code=~"5.."}[24h])) / sum(increase(http_requests_total[24h]))'
        assert 0.0005 < ask_one(url, ratio) < 0.005
        p95 = "histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket[24h])))"
        assert 0.2 < ask_one(url, p95) < 0.5
        every_5m = "count_over_time((sum(rate(http_requests_total[5m])))[7d:5m])"
        assert ask_one(url, every_5m) > 0.999 * (7 * 288 - 12)
        same_weekdays = [
            ask_one(url, f"sum(increase(http_requests_total[24h] offset {week * 7}d))") for week in range(1, 5)
        ]
        assert max(same_weekdays) < 1.2 * min(same_weekdays)
        filled = ask_one(url, "count_over_time(queue_depth[70m])")
        assert filled > 60, "the hour before this start was a pause"
        scraped = ask_one(url, 'count_over_time(up{job="prometheus"}[1h])')
    metrics.fill(data, datetime.now(UTC) + timedelta(minutes=5))  # as if five minutes had passed
    with prometheus_on(bare_site) as url:
        assert ask_one(url, 'count_over_time(up{job="prometheus"}[1h])') >= scraped
