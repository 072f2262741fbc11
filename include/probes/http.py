"""JSON over HTTP, with errors that say what to do next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from include.errors import ConfigurationError, RunbookError, TransientError

if TYPE_CHECKING:
    import httpx

REFUSED = {
    400: "did not understand",
    401: "does not accept the login of its Connection for",
    403: "forbids the login of its Connection",
    404: "does not know",
    422: "did not understand",
}


def ask(client: httpx.Client, name: str, method: str, path: str, **parts: Any) -> Any:
    """Return the parsed body of one request.

    :param name: whom it goes to, for the error's sentence: `Prometheus`.
    :param parts: `params`, `json` or `data`, as httpx takes them.
    """
    import httpx

    try:
        response = client.request(method, path, **parts)
    except httpx.HTTPError as error:
        raise TransientError(f"{name} did not answer {method} {path}: {type(error).__name__}") from None
    if response.is_error:
        raise refusal(name, f"{method} {path}", response.status_code, _words(response))
    return _parsed(response, name, f"{method} {path}")


def _parsed(response: httpx.Response, name: str, request: str) -> Any:
    try:
        return response.json()
    except ValueError:
        kind = response.headers.get("content-type", "nothing")
        raise ConfigurationError(
            f"{name} answered {request} with {kind}, not JSON; does its Connection point to it?"
        ) from None


def _words(response: httpx.Response) -> str:
    try:
        body = response.json()
    except ValueError:
        return ""
    error = next(_errors(body), "") if isinstance(body, Mapping) else ""
    return str(error.get("message", error) if isinstance(error, Mapping) else error)[:160]


def _errors(body: Mapping[str, Any]) -> Iterator[Any]:
    """Yield what a body calls its error; Grafana gives one to each query instead of to the whole."""
    results = body.get("results")
    parts = [body, *(results.values() if isinstance(results, Mapping) else ())]
    yield from (
        part[key] for part in parts for key in ("error", "message") if isinstance(part, Mapping) and part.get(key)
    )


def refusal(name: str, request: str, status: int, words: str) -> RunbookError:
    """Return the error that an HTTP status stands for."""
    said = f" ({status}{': ' if words else ''}{words})"
    if status in REFUSED:
        return ConfigurationError(f"{name} {REFUSED[status]} {request}{said}; check its Connection and settings")
    return TransientError(f"{name} could not serve {request}{said}")
