"""An S3 server of the test's own, over real HTTP."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from tests.support.servers import free_port, wait_until

BUCKET = "documents"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
}
QUICK = Config(connect_timeout=1, read_timeout=5, retries={"max_attempts": 1})


class S3Server:
    """moto's server in a process of its own; `client` looks past our code into it."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-p", str(self.port)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        names = {name.lower(): value for name, value in CREDENTIALS.items()}
        self.client = boto3.client(
            "s3",
            endpoint_url=self.url,
            config=QUICK,
            region_name=names.pop("aws_default_region"),
            **names,
        )
        wait_until(self._has_bucket, seconds=60, what="the S3 server answers")

    def stored(self) -> list[str]:
        """All keys, as the server knows them."""
        found = self.client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return [one["Key"] for one in found]

    def stop(self) -> None:
        self.client.close()
        self.process.kill()
        self.process.wait()

    def _has_bucket(self) -> bool:
        try:
            self.client.create_bucket(Bucket=BUCKET)
        except BotoCoreError:
            return False
        return True


@contextmanager
def s3_server() -> Iterator[S3Server]:
    server = S3Server()
    try:
        yield server
    finally:
        server.stop()
