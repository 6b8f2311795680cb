"""Holds that Redis has forgotten: their rows bring them back."""

from contextlib import suppress

from app.core.limits import allowances
from app.core.limits.allowances import Held
from app.core.limits.limiter import limiter
from app.errors import LimiterAway
from models.session import reading


def restore_all() -> None:
    """Hold every group again that its row says is held."""
    with reading() as session:
        held = {group: hold for group, (_, hold) in allowances.read_all(session).items() if hold is not None}
    for group, hold in held.items():
        restore(group, hold)


def restore(group: str, held: Held) -> None:
    """Hold a group again if Redis has forgotten its hold; without Redis nothing leaves anyway."""
    with suppress(LimiterAway):
        if limiter().held(group) is None:
            limiter().hold(
                group,
                held.reason,
                seconds=max(held.seconds, 0.001),
                every=held.probe_every,
                detail=held.detail,
            )
