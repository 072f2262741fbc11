"""The bucket of the backups, for somebody who looks at it all day long."""

from __future__ import annotations

from typing import Any

from include.backups import keys, manifest
from include.backups.store import CONFIG, SMALL, Store
from include.errors import ConfigurationError, VerificationError
from watch.settings import WatchSettings, require_bucket


class Remembering(Store):
    """A store that fetches each manifest once that arrived whole: 2 kB each, a few thousand in the years of a process."""

    def __init__(self, client: Any, bucket: str, *, who: str) -> None:
        super().__init__(client, bucket, who=who)
        self._whole: dict[tuple[str, str], bytes] = {}

    def get(self, key: str, version_id: str, *, limit: int = SMALL) -> bytes:
        """Return a small object; from memory if this version of it arrived whole before. Tags, which change, are always asked for."""
        place = (key, version_id)
        if place in self._whole:
            return self._whole[place]
        text = super().get(key, version_id, limit=limit)
        if _is_whole(text, key):
            self._whole[place] = text
        return text


def _is_whole(text: bytes, key: str) -> bool:
    try:
        manifest.read(text, key.removesuffix(keys.MANIFEST))
    except VerificationError:
        return False
    return True


def open_bucket(settings: WatchSettings) -> Remembering:
    """Return the bucket of the settings; nothing is sent yet. ConfigurationError names the variable that is missing or wrong."""
    require_bucket(settings)
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    try:
        client = boto3.client(
            "s3",
            endpoint_url=settings.s3_endpoint_url,
            region_name=settings.s3_region,
            aws_access_key_id=settings.s3_access_key,
            aws_secret_access_key=settings.s3_secret_key.get_secret_value(),
            config=Config(**CONFIG | _patience(settings.timeout_s)),
        )
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"WATCH_S3_ENDPOINT_URL or WATCH_S3_REGION is wrong: {error}") from None
    return Remembering(client, settings.backup_bucket, who="the user of WATCH_S3_ACCESS_KEY")


def _patience(timeout_s: float) -> dict[str, Any]:
    one_try = {"total_max_attempts": 1}  # the next look is the next try
    return {"connect_timeout": timeout_s, "read_timeout": timeout_s, "retries": one_try}
