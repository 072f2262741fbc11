"""PagerDuty's Events API through its SDK, at the address that the Connection names."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow.sdk import BaseHook

from include import settings
from include.errors import ConfigurationError, PermanentError, TransientError
from include.masking import one_line
from include.reporting.pagerduty import Event
from sre.hooks.connection import connection

if TYPE_CHECKING:
    import pagerduty


class PagerDutyEventsHook(BaseHook):
    """Send events; the provider's hook of that name cannot be pointed at another address.

    :param conn_id: Connection of type pagerduty_events: the routing key is its password, its host leads elsewhere than pagerduty.com.
    """

    def __init__(self, conn_id: str) -> None:
        super().__init__()
        self.conn_id = conn_id

    @cached_property
    def client(self) -> pagerduty.EventsApiV2Client:
        """The SDK's client. It tries little by itself: the scheduler tries again, and other channels must not wait for this one."""
        to = connection(self.conn_id)
        if not to.password:
            raise ConfigurationError(f"the Connection {self.conn_id!r} holds no routing key; put it into its password")
        client = self._client(to.password, to.host)
        client.retry.update(dict.fromkeys((429, 500, 502, 503, 504), 1))
        client.max_network_attempts = 1
        client.timeout = int(settings.load().reporting.deadline_s)
        return client

    def _client(self, routing_key: str, host: str | None) -> pagerduty.EventsApiV2Client:
        import pagerduty

        try:
            client = pagerduty.EventsApiV2Client(routing_key, base_url=None if _is_loopback(host) else host or None)
        except pagerduty.UrlError:
            raise ConfigurationError(
                f"the Connection {self.conn_id!r} must name an https:// address; plain http is for this machine only"
            ) from None
        if _is_loopback(host):
            client._url = host  # noqa: SLF001 - the SDK takes https only, which the platform in small has not
        return client

    def send(self, event: Event) -> None:
        """Send one event; sending it again changes nothing, its dedup_key sees to that."""
        import pagerduty

        try:
            if event.action == "resolve":
                self.client.resolve(event.dedup_key)
            else:
                self._trigger(event)
        except pagerduty.HttpError as error:
            raise self._translated(error) from error
        except pagerduty.Error as error:
            raise TransientError(f"PagerDuty does not answer ({one_line(str(error), 200)})") from error

    def _trigger(self, event: Event) -> None:
        self.client.trigger(
            event.summary,
            event.source,
            dedup_key=event.dedup_key,
            severity=event.severity,
            payload=dict(event.payload),
            custom_details=dict(event.details),
            links=[dict(link) for link in event.links],
        )

    def _translated(self, error: pagerduty.HttpError) -> TransientError | PermanentError:
        assert error.response is not None  # an HttpError has one
        status = error.response.status_code
        if status == 429 or status >= 500:
            return TransientError(f"PagerDuty says {status}: later")
        reason = one_line(error.response.text, 200)
        return ConfigurationError(
            f"PagerDuty refused the event ({status}: {reason}); check the Connection {self.conn_id}"
        )


def _is_loopback(host: str | None) -> bool:
    parts = urlsplit(host or "")
    return parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1", "localhost"}
