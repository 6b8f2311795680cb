"""What libraries write while a server is away: Celery, kombu, its beat, Flower and the pool of connections.

Each of them has words of its own for it, for each try, and mostly a traceback. A line of theirs that says
only this is counted with the outage, and not written.
"""

import logging
import re
import sys

from app.core.outages import servers

THEIRS = (
    "celery",
    "kombu",
    "amqp",
    "flower",
    "redis",
    "sqlalchemy.pool",
    "tornado",
    "gunicorn",
    "py.warnings",
)


def is_told(record: logging.LogRecord) -> bool:
    """Whether the line says only that a server is away, which the log says once."""
    if record.levelno < logging.WARNING or not record.name.startswith(THEIRS):
        return False
    library = record.name.partition(".")[0]
    error = record.exc_info[1] if record.exc_info else None
    if _NOT_STORED in record.getMessage():  # a warning with the traceback in its text, while it is handled
        library, error = "celery", sys.exc_info()[1]
    if library == "gunicorn" and not servers.is_of_theirs(error):
        return False  # a connection that breaks is its client's there
    if error is not None and servers.is_noticed(error, library):
        return True
    if error is None and _OF_THE_BROKER.search(record.getMessage()):
        servers.broker().noticed(library, "ConnectionError")
        return True
    return False


_NOT_STORED = "Exception raised outside body"  # Celery's words for a result that it could not store
_OF_THE_BROKER = re.compile("connection to (broker|redis) lost|cannot connect to|trying again in", re.I)
