"""Whether each account and key of the configuration's backup can do what it needs: what `make doctor` asks. Nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping

from include.backups import sealing
from include.configuration.applying import DryApplier, RejectedError
from include.configuration.listing import Lister
from include.errors import ConfigurationError

PROBE = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "doctor"}, "data": {"asked": "yes"}}


def of_reader(lister: Lister) -> str:
    """Read all of it, and keep nothing; a kind that is not shown is named."""
    seen = lister.look()
    if unread := [kind.name for kind in seen.kinds if kind.unread]:
        raise ConfigurationError(
            f"may not read {', '.join(unread[:3])}{f' and {len(unread) - 3} more' if unread[3:] else ''}: add them to"
            " deploy/kubernetes/ops-config-backup.yaml, or to configuration.leave_out"
        )
    return f"reads {len(seen.objects)} objects of {sum(kind.n > 0 for kind in seen.kinds)} kinds in {lister.namespace}"


def of_prover(cluster: DryApplier, scratch: str) -> str:
    """Try one object as a dry run."""
    try:
        cluster.dry_apply(f"/api/v1/namespaces/{scratch}/configmaps/doctor", dict(PROBE))
    except RejectedError as error:
        raise ConfigurationError(
            f"may make no dry run in {scratch} ({error}): apply deploy/kubernetes/ops-config-prove.yaml, or correct"
            " configuration.scratch_namespace"
        ) from None
    return f"makes dry runs in {scratch}"


def of_key(key: str, where: str, recipients: Mapping[str, str]) -> str:
    """Compare the private key with the public ones."""
    sealing.recipients(recipients, "configuration.recipients")
    public = str(sealing.identity(key, where).to_public())
    names = [name for name, text in recipients.items() if text == public]
    if not names:
        raise ConfigurationError(
            f"{where} opens no Secret: its public half {public} is not among configuration.recipients"
        )
    return f"opens every Secret as {names[0]}"
