"""How `celery -A tasks flower` starts: by defaults that are ours, and not for everybody.

They stand here and not on its command line, so that every way of starting it has them. What the environment
(`FLOWER_…`) and the command line say goes first, as with its own.
"""

import ipaddress
import os
import sys
from typing import Any

from celery.signals import import_modules

from config import secret_files, settings

# What a task was for and what came of it stand first; the id, which opens its page, takes the most room.
COLUMNS = "name,args,result,state,received,runtime,worker,uuid"
OFFLINE_FOR = 600  # seconds until a worker that has gone leaves the page, with what it had in hand
TASKS = 20_000  # that it remembers: some 170 MB of them; of its own 100,000 it would be 660
PASSWORD = "FLOWER_BASIC_AUTH"  # noqa: S105 - the name of the variable


def set_defaults() -> None:
    """Set the options of Flower, whose command is a part of Celery's command line; elsewhere do nothing."""
    if "flower.options" not in sys.modules:
        return
    options = _options()
    options.address = "127.0.0.1"
    options.read_only = True
    options.tasks_columns = COLUMNS
    options.purge_offline_workers = OFFLINE_FOR
    options.max_tasks = TASKS
    try:
        secret_files.provide(PASSWORD, os.environ)  # Flower looks for it nowhere else
    except settings.BadSetting as error:
        sys.exit(f"penstock: {error}")
    if not os.environ.get(PASSWORD):
        os.environ.pop(PASSWORD, None)  # Flower would take an empty one for a login
    import_modules.connect(_refuse_strangers)


def _refuse_strangers(**_: Any) -> None:
    """End a Flower that anybody on the network could use. It has read all its options when it sends this."""
    options = _options()
    if any(not all(login.partition(":")[::2]) for login in options.basic_auth or []):
        sys.exit(f"penstock: {PASSWORD}: give it as user:password, without a comma in either")
    if not (options.basic_auth or options.auth or options.unix_socket or _is_here(options.address)):
        sys.exit(
            f"penstock: Flower without a password listens on this machine alone, not on"
            f" {options.address or 'every address'}: set {PASSWORD}=user:password in its environment"
        )


def _is_here(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _options() -> Any:
    from flower.options import options

    return options
