"""What belongs to a database and stands in no table: grants, settings, those of a role in it too, its limit (BUG-11, BUG-29)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, LiteralString

from psycopg import errors, sql

from include.errors import ConfigurationError, VerificationError

if TYPE_CHECKING:
    from include.backups.login import Session

PRIVILEGES: Mapping[str, LiteralString] = {"CREATE": "create", "CONNECT": "connect", "TEMPORARY": "temporary"}
LISTS = frozenset({"search_path", "temp_tablespaces"})
"""Settings whose stored text is a list that was quoted already; as one literal it would be quoted once more."""
COMPARED = (
    "encoding",
    "collate",
    "ctype",
    "provider",
    "locale",
    "owner",
    "connection_limit",
    "settings",
    "role_settings",
)


def rehearse(session: Session, name: str, wanted: Mapping[str, Any]) -> None:
    """Set all of it and take it back: what is forbidden shows before hours are spent on the rows."""
    from psycopg import Rollback

    with session.transaction() as whole:
        apply(session, name, wanted)
        raise Rollback(whole)


def apply(session: Session, name: str, wanted: Mapping[str, Any]) -> None:
    """Give a database what the original had; ConfigurationError names what this role may not set.

    :param wanted: as `backup_database.sql` tells it; a backup from before it told of roles' settings has none of them.
    """
    try:
        with session.transaction():
            for statement in _grants(name, wanted["owner"], wanted["grants"]):
                session.execute(statement)
            for setting in wanted["settings"]:
                _set(session, sql.SQL("alter database {}").format(sql.Identifier(name)), setting)
            for role, setting in wanted.get("role_settings", []):
                _set_for_role(session, name, role, setting)
            limit = sql.Literal(wanted["connection_limit"])
            session.execute(sql.SQL("alter database {} connection limit {}").format(sql.Identifier(name), limit))
    except errors.InsufficientPrivilege as error:
        raise ConfigurationError(
            f"the role that recovers may not give {name} what the original had ({error.diag.message_primary}): grant it the role"
            " whose setting that is, or `grant set on parameter`; nothing but the new database was made"
        ) from None


def _grants(name: str, owner: str, grants: Sequence[Sequence[Any]]) -> Iterator[sql.Composed]:
    place = sql.Identifier(name)
    yield sql.SQL("revoke all on database {} from public, {}").format(place, sql.Identifier(owner))
    for grantee, privilege, *grantable in grants:
        to = sql.SQL("public") if grantee == "PUBLIC" else sql.Identifier(grantee)
        with_option = sql.SQL(" with grant option" if grantable == [True] and grantee != owner else "")
        right = sql.SQL(PRIVILEGES[privilege])
        yield sql.SQL("grant {} on database {} to {}{}").format(right, place, to, with_option)


def _set(session: Session, whose: sql.Composed, setting: str) -> None:
    """Store one `name=value` exactly as it was stored."""
    name, _, value = setting.partition("=")
    what = sql.SQL(".").join(map(sql.Identifier, name.split(".")))
    if name in LISTS:
        session.execute("select set_config(%s, %s, true)", [name, value])
        session.execute(sql.SQL("{} set {} from current").format(whose, what))
    else:
        session.execute(sql.SQL("{} set {} to {}").format(whose, what, sql.Literal(value)))


def _set_for_role(session: Session, name: str, role: str, setting: str) -> None:
    """Become the role for it: its own settings are the one thing that everybody may change."""
    session.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
    whose = sql.SQL("alter role {} in database {}").format(sql.Identifier(role), sql.Identifier(name))
    _set(session, whose, setting)
    session.execute("reset role")


def refuse_difference(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Raise VerificationError if the restored database is not set as the original was."""
    unlike = [name for name in COMPARED if name in wanted and wanted[name] != found[name]]
    if _pairs(wanted["grants"]) != _pairs(found["grants"]):
        unlike.append("grants")
    if unlike:
        raise VerificationError(f"the restored database differs from the original in its {', '.join(unlike)}")


def _pairs(grants: Sequence[Sequence[Any]]) -> set[tuple[str, str, bool]]:
    # A backup from before it told who may pass a right on says nothing of it.
    return {(grantee, privilege, grantable == [True]) for grantee, privilege, *grantable in grants}
