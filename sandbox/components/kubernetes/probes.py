"""Whether a server of the control plane answers, seen over TLS as one of its clients."""

from __future__ import annotations

import http.client

from sandbox.certificates import Authority, Pair
from sandbox.component import NotReadyError
from sandbox.components.kubernetes.layout import cluster, trusted
from sandbox.site import Site

ANSWER_WITHIN_S = 5


def answers(
    site: Site, port: str, path: str, *, authority: Authority | None = None, client: Pair | None = None
) -> None:
    """Return if the server says 200; NotReadyError with what it says instead."""
    authority = authority or cluster(site)
    client = client or cluster(site).client("admin", "sandbox-admin", ("system:masters",))
    connection = http.client.HTTPSConnection(
        "127.0.0.1", site.ports[port], timeout=ANSWER_WITHIN_S, context=trusted(site, authority, client)
    )
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            raise NotReadyError(f"{path} answers {answer.status}: {_shortened(answer.read())}")
    except (OSError, http.client.HTTPException) as error:
        raise NotReadyError(f"it does not answer on port {site.ports[port]}: {error}") from error
    finally:
        connection.close()


def _shortened(body: bytes) -> str:
    failing = [line for line in body.decode(errors="replace").splitlines() if line.startswith("[-]")]
    return "; ".join(failing)[:200] or body[:200].decode(errors="replace")
