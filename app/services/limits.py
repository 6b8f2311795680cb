"""The provider's limits as a caller may see them and an operator set them, through any entry point."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from app.core.accounts import audit
from app.core.accounts.api_keys import OPERATOR, Caller
from app.core.accounts.audit import Actor
from app.core.limits import report
from app.core.limits.report import Reader
from models.session import in_transaction, reading


def describe_all(me: Caller) -> list[dict[str, Any]]:
    """The groups in use: by jobs of the caller's tenant, or for an operator by anybody."""
    with reading() as session:
        return report.describe_all(session, _reader(me))


def describe(me: Caller, group: str) -> tuple[dict[str, Any], dict[str, int | None]]:
    """A group, and which of its figures an operator has set; raises `NotFound`."""
    with reading() as session:
        report.check(session, group)
        return report.describe(session, _reader(me), group), report.figures(session, group)


def change(me: Caller, group: str, figures: Mapping[str, int | None]) -> dict[str, Any]:
    """Set a group's figures for all workers within a second, and describe it; see `report.change`.

    The caller must be an operator. Limits belong to no tenant: the change is in the audit of the caller's.
    """

    def work(session: Session) -> None:
        before = report.change(session, group, figures)
        if changed := audit.changes(before, figures):
            by, resource = Actor.with_key(me), ("limit_group", group)
            audit.note(session, me.tenant_id, by, audit.LIMITS_CHANGED, resource, changed=changed)

    in_transaction(work)
    with reading() as session:
        return report.describe(session, _reader(me), group)


def _reader(me: Caller) -> Reader:
    return Reader(me.tenant_id, sees_all=me.may(OPERATOR))
