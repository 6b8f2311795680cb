"""The object store in S3, or in what speaks like it."""

from collections.abc import Callable, Iterable
from functools import partial
from io import SEEK_END
from itertools import islice
from typing import Any, BinaryIO, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from app.core.documents.object_store import checked
from app.errors import NotFound, Unavailable

AT_ONCE = 1_000  # keys that one call deletes

T = TypeVar("T")

CONFIG = Config(
    connect_timeout=3,
    read_timeout=20,
    retries={"mode": "standard", "max_attempts": 3},
    max_pool_connections=32,
    # What other servers than Amazon's do not know is left out unless the call needs it.
    request_checksum_calculation="when_required",
    response_checksum_validation="when_required",
)


class S3Store:
    """Credentials and region come from the usual AWS variables and files."""

    def __init__(self, bucket: str, prefix: str, endpoint: str | None) -> None:
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""
        # Names of other servers are seldom those of their buckets, too.
        style = Config(s3={"addressing_style": "path" if endpoint else "auto"})
        self._client = boto3.session.Session().client("s3", endpoint_url=endpoint, config=CONFIG.merge(style))

    def put(self, key: str, content: BinaryIO) -> None:
        size = content.seek(0, SEEK_END)
        content.seek(0)
        self._call(partial(self._client.put_object, **self._at(key), Body=content, ContentLength=size))

    def get(self, key: str) -> bytes:
        def read() -> bytes:
            content: bytes = self._client.get_object(**self._at(key))["Body"].read()
            return content

        return self._call(read)

    def delete(self, keys: Iterable[str]) -> None:
        rest = iter(keys)
        while some := list(islice(rest, AT_ONCE)):
            objects = [{"Key": self._at(key)["Key"]} for key in some]
            wanted = {"Objects": objects, "Quiet": True}
            answer = self._call(partial(self._client.delete_objects, Bucket=self._bucket, Delete=wanted))
            if left := answer.get("Errors"):
                raise self._unavailable(left[0].get("Code", "unknown"))

    def reach(self) -> None:
        self._call(partial(self._client.head_bucket, Bucket=self._bucket))

    def _at(self, key: str) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": self._prefix + checked(key)}

    def _call(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "unknown")
            if code == "NoSuchKey":
                raise NotFound(f"the bucket {self._bucket!r} has no such object") from error
            raise self._unavailable(code) from error
        except (BotoCoreError, OSError) as error:
            raise self._unavailable(type(error).__name__) from error

    def _unavailable(self, why: str) -> Unavailable:
        """The code alone: a driver's own words may hold an address with its secrets."""
        return Unavailable(
            f"the object store s3://{self._bucket} cannot be used: {why} (OBJECT_STORE_URL, S3_ENDPOINT_URL)",
            retry_after=10,
        )
