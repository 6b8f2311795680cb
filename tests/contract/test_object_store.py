"""The object store: one promise, over a folder and over an S3 server that is asked over HTTP."""

import io
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.core.documents.folder_store import FolderStore
from app.core.documents.s3_store import S3Store
from app.errors import NotFound, Unavailable
from tests.support.s3_server import BUCKET, CREDENTIALS, S3Server, s3_server
from tests.support.servers import free_port

KEY = "raw/0190/0191/" + "a" * 64


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with pytest.MonkeyPatch.context() as patch, s3_server() as running:
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield running


@pytest.fixture(scope="module")
def in_s3(server: S3Server) -> Iterator[S3Store]:
    made = S3Store(BUCKET, "a/prefix", server.url)
    yield made
    made._client.close()


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FolderStore | S3Store:
    """A store without the keys of this test."""
    if request.param == "folder":
        return FolderStore(tmp_path / "blobs")
    made: S3Store = request.getfixturevalue("in_s3")
    made.delete([KEY])
    return made


def test_what_was_put_is_brought_back_byte_for_byte(store):
    content = os.urandom(3_000_000)

    store.put(KEY, io.BytesIO(content))

    assert store.get(KEY) == content


def test_content_is_taken_from_its_beginning_wherever_it_was_read_to(store):
    content = io.BytesIO(b"the whole of it")
    content.read(5)

    store.put(KEY, content)

    assert store.get(KEY) == b"the whole of it"


def test_nothing_is_something_too(store):
    store.put(KEY, io.BytesIO(b""))
    assert store.get(KEY) == b""


def test_to_put_again_replaces(store):
    store.put(KEY, io.BytesIO(b"first"))
    store.put(KEY, io.BytesIO(b"second"))

    assert store.get(KEY) == b"second"


def test_what_is_not_there_is_not_found(store):
    with pytest.raises(NotFound):
        store.get("raw/none")


def test_what_was_deleted_is_gone_and_to_delete_what_is_not_there_is_nothing(store):
    keys = [f"raw/x/{number}/y" for number in range(3)]
    for key in keys:
        store.put(key, io.BytesIO(b"x"))

    store.delete([*keys[:2], "raw/never/was"])

    for key in keys[:2]:
        with pytest.raises(NotFound):
            store.get(key)
    assert store.get(keys[2]) == b"x"


@pytest.mark.parametrize(
    "key", ["../outside", "raw/../../outside", "/etc/passwd", "raw//x", "raw/.hidden", "raw/a b", "raw/é", ""]
)
def test_a_key_that_leads_elsewhere_is_refused(store, key):
    for work in (lambda: store.put(key, io.BytesIO(b"x")), lambda: store.get(key)):
        with pytest.raises(ValueError, match="no key"):
            work()


def test_many_may_put_and_get_at_once(store):
    def work(number: int) -> bytes:
        store.put(f"raw/many/{number}/x", io.BytesIO(b"%d" % number))
        return store.get(f"raw/many/{number}/x")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(24))) == [b"%d" % number for number in range(24)]


def test_a_store_that_can_be_used_says_so(store):
    store.reach()


def test_a_reader_sees_the_whole_of_a_file_or_nothing(tmp_path):
    # Given a reader who looks all the time
    store, seen, done = FolderStore(tmp_path), set(), threading.Event()

    def read() -> None:
        while not done.is_set():
            try:
                seen.add(len(store.get(KEY)))
            except NotFound:
                seen.add(None)

    reader = threading.Thread(target=read)
    reader.start()

    # When large files are put
    for _ in range(5):
        store.put(KEY, io.BytesIO(b"x" * 2_000_000))
    done.set()
    reader.join()

    # Then no part of one was ever seen, and nothing lies beside it
    assert seen <= {None, 2_000_000}
    assert [path.name for path in (tmp_path / KEY).parent.iterdir()] == [Path(KEY).name]


def test_a_folder_that_cannot_be_written_is_a_refusal_that_names_it(tmp_path):
    (tmp_path / "blobs").write_text("a file, and no folder")

    with pytest.raises(Unavailable, match="OBJECT_STORE_URL"):
        FolderStore(tmp_path / "blobs").put(KEY, io.BytesIO(b"x"))


FULL = """
import io, pathlib, resource, signal, sys
from app.core.documents.folder_store import FolderStore
from app.errors import Unavailable
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    FolderStore(pathlib.Path(sys.argv[1])).put(sys.argv[2], io.BytesIO(b"x" * 200_000))
except Unavailable:
    print([str(path) for path in pathlib.Path(sys.argv[1]).rglob("*") if path.is_file()])
"""


def test_a_file_that_the_disk_has_no_room_for_leaves_nothing_behind(tmp_path):
    # Given a process that may write files of 100 kB
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY

    # When it puts a larger one
    ended = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path), KEY], capture_output=True, text=True, check=True
    )

    # Then it is refused, and no half of it is left
    assert ended.stdout.strip() == "[]"


def test_a_server_that_is_away_or_has_no_such_bucket_is_a_refusal_without_its_secrets(server):
    for address, bucket in ((f"http://127.0.0.1:{free_port()}", BUCKET), (server.url, "nobodys-bucket")):
        store = S3Store(bucket, "", address)
        for work in (lambda store=store: store.put(KEY, io.BytesIO(b"x")), store.reach):
            with pytest.raises(Unavailable, match="OBJECT_STORE_URL") as refused:
                work()
            assert "test" not in refused.value.message
        store._client.close()


def test_keys_lie_under_the_prefix(server, in_s3):
    in_s3.put("raw/t/f/s", io.BytesIO(b"x"))

    assert "a/prefix/raw/t/f/s" in server.stored()
