"""The gauges that Prometheus scrapes, and the board that holds what each source last showed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

GAUGES = {  # name -> label, help
    "watch_run_overdue_seconds": ("dag_id", "How long ago a run's grace ended with no proof of it; 0 when it ran."),
    "watch_last_due_timestamp_seconds": ("dag_id", "The newest slot of the schedule."),
    "watch_last_evidence_timestamp_seconds": (
        "dag_id",
        "The newest verdict, or snapshot of a good backup; absent when there is none.",
    ),
    "watch_newest_good_backup_timestamp_seconds": ("database", "Its snapshot; absent when no backup is good."),
    "watch_newest_good_backup_bytes": ("database", "All that is stored of it."),
    "watch_backup_restore_seconds": (
        "database",
        "From fetching the newest good backup to a database that was compared.",
    ),
    "watch_backups_bad": ("database", "Backups of the last 7 days that differ from what they are of, or are torn."),
    "watch_airflow_component_up": ("component", "Whether it lives; all but api_server are absent when that is down."),
    "watch_dag_paused": ("dag_id", "Whether an expected DAG is paused."),
    "watch_dag_missing": ("dag_id", "Whether Airflow does not know an expected DAG."),
    "watch_import_errors": ("", "Files of the DAG folder that Airflow cannot import."),
    "watch_source_up": ("source", "Whether it could be looked at; if not, its other gauges are absent."),
    "watch_last_look_timestamp_seconds": ("source", "When the last look ended, well or not."),
}


@dataclass(frozen=True)
class Sample:
    """One number; `label` is the value of the gauge's only label."""

    name: str
    value: float
    label: str = ""


@dataclass(frozen=True)
class View:
    """What a look showed; None: it could not look."""

    samples: Sequence[Sample] | None
    at: float


class Board(Collector):
    """Takes what the sources publish, gives what Prometheus asks for. What is too old to be true is not shown."""

    def __init__(self, sources: Iterable[str], *, stale_after_s: float) -> None:
        self._stale_after_s = stale_after_s
        self._views = {source: View(None, time.time()) for source in sources}
        self._lock = threading.Lock()

    def publish(self, source: str, samples: Sequence[Sample] | None) -> None:
        """Replace what is known of a source."""
        with self._lock:
            self._views[source] = View(samples, time.time())

    def samples(self) -> Iterator[Sample]:
        """Return all that may be shown now."""
        with self._lock:
            views = dict(self._views)
        for source, view in views.items():
            fresh = view.samples if time.time() - view.at < self._stale_after_s else None
            yield Sample("watch_source_up", float(fresh is not None), source)
            yield Sample("watch_last_look_timestamp_seconds", view.at, source)
            yield from fresh or ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Return the gauges in the form that prometheus_client writes."""
        shown = list(self.samples())
        for name, (label, text) in GAUGES.items():
            gauge = GaugeMetricFamily(name, text, labels=[label] if label else [])
            for sample in shown:
                if sample.name == name:
                    gauge.add_metric([sample.label] if label else [], sample.value)
            yield gauge
