"""`/ws/batch-processor`: live updates of batches."""

from flask import Blueprint
from flask_sock import Sock
from simple_websocket import Server

from app.core.accounts import api_keys
from app.core.accounts.api_keys import READ
from app.core.accounts.revocation import watch
from app.core.reading import jobs
from app.core.reading.jobs import JobView
from app.dialects.processor import wire
from app.errors import Unauthenticated
from app.web.auth import caller, needs
from app.web.websockets import Watching, give_seat_back, take_seat
from models.session import reading

PATH = "/ws/batch-processor"

blp = Blueprint("batch_processor_socket", __name__)
blp.before_request(take_seat)  # after the key is checked, and before the upgrade
blp.teardown_request(give_seat_back)
sock = Sock()


@sock.route(PATH, bp=blp)
@needs(READ, 503)
def watch_batches(connection: Server) -> None:
    """Watch batches: `{"action": "subscribe", "batch_id": "…"}`, or `unsubscribe`."""
    me = caller()

    def find(name: str) -> JobView:
        with reading() as session:
            if not api_keys.is_valid(session, me, READ):
                raise Unauthenticated(f"the API key {me.prefix} was revoked, or lost its scope")
            return jobs.find(session, me.tenant_id, name)

    with watch().use(me.key_id, connection.event.set) as use:
        Watching(connection, use, find, wire.update, wire.not_found).run()
