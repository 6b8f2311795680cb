"""What a benchmark runs on: real servers of its own, and an upstream so cheap that we measure ourselves."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import servers

ANSWER = {
    "id": "msg_bench",
    "type": "message",
    "role": "assistant",
    "model": "claude-haiku-4-5",
    "content": [{"type": "text", "text": "positive: great phone; negative: the battery"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 24, "output_tokens": 12},
}

_NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000; client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
  scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      default_type application/json; add_header request-id req_bench;
      return 200 '{answer}';
    }}
  }}
}}
"""


@contextmanager
def nginx() -> Iterator[str]:
    """The address of an nginx that answers every POST at once with one constant Messages reply."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        raise SystemExit("the benchmark's upstream is nginx: apt-get install nginx-light")
    port = servers.free_port()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # for its worker, which is another user
        config = Path(folder, "nginx.conf")
        config.write_text(_NGINX.format(folder=folder, port=port, answer=json.dumps(ANSWER)))
        process = subprocess.Popen([found, "-c", str(config), "-p", folder], stderr=subprocess.DEVNULL)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()


@contextmanager
def database(kind: str) -> Iterator[str]:
    """The address of an empty database of a kind."""
    if kind == "postgresql":
        with servers.postgres() as url:
            yield url
        return
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/penstock.db"
