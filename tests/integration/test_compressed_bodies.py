"""Files and batches whose bodies are compressed, as the header Content-Encoding says."""

import gzip
import io
import json

import pytest
from backports import zstd
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from config import settings
from tests.support.front_door import Door

pytestmark = pytest.mark.one_database

LINE = {
    "custom_id": "a",
    "url": "/v1/messages",
    "body": {"model": "simulated", "max_tokens": 9, "messages": [{"role": "user", "content": "Why?"}]},
}


@pytest.fixture
def door(environment, monkeypatch):
    monkeypatch.setenv("MAX_UPLOAD_BYTES", "1000000")
    settings.current.cache_clear()
    yield Door()
    settings.current.cache_clear()


def upload(door, content, coding, compress):
    part = FileStorage(io.BytesIO(content), filename="asked.jsonl", name="file")
    boundary, body = encode_multipart({"purpose": "batch", "file": part})
    return door.post(
        "/v1/files",
        data=compress(body),
        content_type=f'multipart/form-data; boundary="{boundary}"',
        headers={"Content-Encoding": coding},
    )


@pytest.mark.parametrize(("coding", "compress"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
def test_a_compressed_file_and_a_compressed_batch_are_read(door, coding, compress):
    content = json.dumps({"method": "POST", **LINE}).encode()
    uploaded = upload(door, content, coding, compress)
    assert uploaded.status_code == 200, uploaded.text
    assert uploaded.get_json()["bytes"] == len(content)
    kept = door.get(f"/v1/files/{uploaded.get_json()['id']}/content")
    assert kept.data == content

    asked = {"endpoint": "/v1/messages", "completion_window": "24h", "requests": [LINE]}
    made = door.post(
        "/v1/batches",
        data=compress(json.dumps(asked).encode()),
        content_type="application/json",
        headers={"Content-Encoding": coding},
    )
    assert (made.status_code, made.get_json()["request_counts"]["total"]) == (200, 1)


def test_a_file_that_is_large_once_it_is_decoded_is_refused(door):
    burst = upload(door, b" " * 60_000_000, "gzip", gzip.compress)
    assert burst.status_code == 413
    assert burst.get_json()["error"]["code"] == "request_too_large"


def test_a_file_that_ends_in_the_middle_is_refused(door):
    cut = upload(door, b"x" * 5_000, "gzip", lambda body: gzip.compress(body)[:-9])
    assert cut.status_code == 400
    assert "gzip" in cut.get_json()["error"]["message"]
