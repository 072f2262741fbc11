"""`python -m watch`: look at every source again and again, and answer Prometheus, until told to stop."""

from __future__ import annotations

import logging
import signal
import sys
import threading

from prometheus_client import CollectorRegistry, start_http_server

from include.errors import ConfigurationError
from watch import expected
from watch.clock import Clock
from watch.gauges import Board
from watch.settings import WatchSettings, load
from watch.sources import Source, all_sources

log = logging.getLogger("watch")


def main() -> int:
    """Return 2 with one sentence when something is set wrongly, before anything is opened."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        settings = load()
        runs = expected.load(settings.expected_runs)
        sources = all_sources(settings, runs, Clock(settings.clock_start, settings.clock_speed))
        board = Board([source.name for source in sources], stale_after_s=settings.stale_after_s)
        _serve(board, settings)
    except ConfigurationError as error:
        print(f"watch: {error}", file=sys.stderr)  # noqa: T201 - a person reads this one
        return 2
    _look_until_told_to_stop(sources, board, settings.look_every_s)
    return 0


def _serve(board: Board, settings: WatchSettings) -> None:
    registry = CollectorRegistry()
    registry.register(board)
    try:
        start_http_server(settings.port, addr=settings.address, registry=registry)
    except OSError as error:
        place = f"{settings.address}:{settings.port}"
        raise ConfigurationError(f"{place} cannot be listened on ({error.strerror}); set WATCH_PORT") from None


def _look_until_told_to_stop(sources: list[Source], board: Board, every_s: float) -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    for source in sources:
        threading.Thread(
            target=_keep_looking, args=(source, board, stop, every_s), name=source.name, daemon=True
        ).start()
    stop.wait()


def _keep_looking(source: Source, board: Board, stop: threading.Event, every_s: float) -> None:
    said: str | None = None
    while not stop.is_set():
        news = _look(source, board)
        if news != said:
            log.info("%s: %s", source.name, news)
            said = news
        stop.wait(every_s)


def _look(source: Source, board: Board) -> str:
    try:
        board.publish(source.name, source.look())
    except Exception as error:  # noqa: BLE001 - whatever it was, the source was not seen, and that is the news
        board.publish(source.name, None)
        return f"could not look: {error}"
    return "seen"


if __name__ == "__main__":
    sys.exit(main())
