"""The object store in S3, or on a compatible server."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from io import SEEK_END
from itertools import islice
from tempfile import TemporaryFile
from typing import Any, BinaryIO, TypeVar, cast

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    HTTPClientError,
    IncompleteReadError,
)
from tenacity import (
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from app.core.documents.object_store import checked
from app.errors import NotFound, Unavailable
from config import settings

AT_ONCE = 1_000  # keys that one call deletes
PIECE = 1_000_000  # bytes that are copied at once

ATTEMPTS = 3  # of one call
PATIENCE = 10.0  # seconds after which a call is not retried: the caller is waiting
# Errors that may pass within a second: by status, and by code where the status does not show it.
_TRANSIENT_STATUS = {429, 500, 502, 503, 504}
_TRANSIENT = {"RequestTimeout", "InternalError", "ServiceUnavailable", "SlowDown"}

T = TypeVar("T")

CONFIG = Config(
    connect_timeout=3,
    read_timeout=20,
    retries={"mode": "standard", "total_max_attempts": 1},  # whole calls are retried below
    max_pool_connections=32,
    # Servers other than Amazon's may not know checksums: leave them out unless a call needs them.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


class S3Store:
    """Credentials and region come from the usual AWS variables and files."""

    def __init__(self, bucket: str, prefix: str, endpoint: str | None) -> None:
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""
        # Other servers seldom have a host name for each bucket.
        style = Config(s3={"addressing_style": "path" if endpoint else "auto"})
        self._client = boto3.session.Session().client("s3", endpoint_url=endpoint, config=CONFIG.merge(style))

    def put(self, key: str, content: BinaryIO) -> None:
        size = content.seek(0, SEEK_END)

        def write() -> None:
            content.seek(0)
            self._client.put_object(**self._at(key), Body=content, ContentLength=size)

        self._call(write)

    def get(self, key: str) -> bytes:
        def read() -> bytes:
            content: bytes = self._client.get_object(**self._at(key))["Body"].read()
            return content

        return self._call(read)

    def copy(self, key: str, to: BinaryIO) -> None:
        def read() -> None:
            to.seek(0)
            to.truncate()
            body = self._client.get_object(**self._at(key))["Body"]
            for piece in body.iter_chunks(PIECE):
                to.write(piece)

        self._call(read)

    @contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        with TemporaryFile(dir=settings.current().data) as file:
            self.copy(key, cast(BinaryIO, file))
            file.seek(0)
            yield cast(BinaryIO, file)

    def delete(self, keys: Iterable[str]) -> None:
        rest = iter(keys)
        while batch := list(islice(rest, AT_ONCE)):
            self._call(partial(self._remove, [self._at(key)["Key"] for key in batch]))

    def reach(self) -> None:
        self._call(partial(self._client.head_bucket, Bucket=self._bucket))

    def prepare(self) -> None:
        try:
            self.reach()
        except Unavailable:
            self._call(partial(self._client.create_bucket, Bucket=self._bucket))

    def _at(self, key: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._prefix + checked(key)}

    def _remove(self, names: list[str]) -> None:
        request = {"Objects": [{"Key": name} for name in names], "Quiet": True}
        answer = self._client.delete_objects(Bucket=self._bucket, Delete=request)
        if errors := answer.get("Errors"):
            # A retry may delete keys again that are already gone.
            raise ClientError({"Error": errors[0]}, "DeleteObjects")

    def _call(self, work: Callable[[], T]) -> T:
        try:
            return _attempts(work)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "unknown")
            if code == "NoSuchKey":
                raise NotFound(f"the bucket {self._bucket!r} has no such object") from error
            raise self._unavailable(code) from error
        except (BotoCoreError, OSError) as error:
            raise self._unavailable(type(error).__name__) from error

    def _unavailable(self, why: str) -> Unavailable:
        """Only the code is shown: a driver's message may contain an address with its secrets."""
        return Unavailable(
            f"the object store s3://{self._bucket} cannot be used: {why} (OBJECT_STORE_URL, S3_ENDPOINT_URL)",
            retry_after=10,
        )


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return status in _TRANSIENT_STATUS or error.response.get("Error", {}).get("Code") in _TRANSIENT
    return isinstance(error, ConnectionError | HTTPClientError | IncompleteReadError)


_attempts = Retrying(
    retry=retry_if_exception(_is_transient),
    wait=wait_random_exponential(multiplier=0.5, max=2.0),  # seconds
    stop=stop_after_attempt(ATTEMPTS) | stop_before_delay(PATIENCE),
    reraise=True,
)
