"""The sender of webhooks, played by a test: no worker is there to send them by itself."""

from sqlalchemy import select, update

from app.core.webhooks import outbox
from app.core.webhooks.sender import Sender
from models.base import now
from models.session import in_transaction, reading
from models.webhook import DeliveryStatus, WebhookDelivery


def send_all(sender: Sender | None = None) -> None:
    """Send what is due, and wait until each attempt has ended."""
    sender = sender or Sender()
    sender.wake()
    assert sender.wait(60)
    with reading() as session:
        assert not session.scalar(select(outbox.any_due))


def make_due() -> None:
    """The time of all that waits has come."""
    waiting = WebhookDelivery.status == DeliveryStatus.PENDING
    change = update(WebhookDelivery).where(waiting).values(next_at=now(-1))
    in_transaction(lambda session: session.execute(change) and None)
