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
from app.core.documents.s3_store import ATTEMPTS, S3Store
from app.errors import NotFound, Unavailable
from tests.support.failing_proxy import RESET, FailingProxy, failing_proxy
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
    copy = io.BytesIO()
    store.copy(KEY, copy)
    assert copy.getvalue() == content
    with store.open(KEY) as opened:
        opened.seek(-3, io.SEEK_END)
        assert opened.read() == content[-3:]


def test_content_is_taken_from_its_beginning_wherever_it_was_read_to(store):
    content = io.BytesIO(b"the whole of it")
    content.read(5)

    store.put(KEY, content)

    assert store.get(KEY) == b"the whole of it"


def test_nothing_is_something_too(store):
    store.put(KEY, io.BytesIO(b""))
    assert store.get(KEY) == b""


def test_a_bucket_is_made_once_and_may_be_there_already(server):
    made = S3Store("not-yet-there", "", server.url)
    with pytest.raises(Unavailable):
        made.reach()

    for _ in range(2):
        made.prepare()
        made.reach()
    made._client.close()


def test_to_put_again_replaces(store):
    store.put(KEY, io.BytesIO(b"first"))
    store.put(KEY, io.BytesIO(b"second"))

    assert store.get(KEY) == b"second"


def test_what_is_not_there_is_not_found(store):
    store.put(KEY, io.BytesIO(b"x"))

    with pytest.raises(NotFound):
        store.get("raw/none")
    with pytest.raises(NotFound):
        store.copy("raw/none", io.BytesIO())
    with pytest.raises(NotFound), store.open("raw/none"):
        pass


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
        with pytest.raises(ValueError, match="not a key"):
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
            except (NotFound, Unavailable):
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


def test_a_folder_whose_volume_is_not_mounted_has_lost_nothing(tmp_path):
    # Given one that a process has just made where a volume should be
    store = FolderStore(tmp_path / "blobs")
    store.prepare()

    # Then what was put is not gone: it can be read once the volume is back
    with pytest.raises(Unavailable, match="not mounted"):
        store.get(KEY)
    store.put(KEY, io.BytesIO(b"x"))
    store.delete([KEY])
    with pytest.raises(NotFound):
        store.get(KEY)


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


# --- an S3 server that fails


def http(status: str, body: str = "", length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return f"HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n{body}".encode()


def refusal(status: str, code: str) -> bytes:
    return http(status, f"<Error><Code>{code}</Code><Message>no</Message></Error>")


BUSY = refusal("503 Slow Down", "SlowDown")


@pytest.fixture
def proxy(server: S3Server) -> Iterator[FailingProxy]:
    with failing_proxy(server.port) as made:
        yield made


@pytest.fixture
def behind_proxy(proxy: FailingProxy) -> Iterator[S3Store]:
    made = S3Store(BUCKET, "failing", f"http://127.0.0.1:{proxy.port}")
    yield made
    made._client.close()


@pytest.mark.parametrize("failures", [(BUSY,), (RESET,), (BUSY, http("500 Internal")), (RESET, BUSY)])
def test_a_server_that_fails_for_a_moment_is_asked_again(behind_proxy, proxy, failures):
    content = io.BytesIO(os.urandom(300_000))

    for work in (
        lambda: behind_proxy.put(KEY, content),
        lambda: behind_proxy.get(KEY),
        behind_proxy.reach,
        lambda: behind_proxy.delete([KEY]),
    ):
        proxy.fail(*failures)
        got = work()
        assert not proxy.answers
        assert got in (None, content.getvalue())

    with pytest.raises(NotFound):
        behind_proxy.get(KEY)


def test_an_object_whose_bytes_broke_off_is_fetched_again_whole(behind_proxy, proxy):
    behind_proxy.put(KEY, io.BytesIO(b"the whole of it"))
    proxy.fail(http("200 OK", "the wh", length=15))

    assert behind_proxy.get(KEY) == b"the whole of it"


def test_an_object_that_could_not_be_deleted_for_a_moment_is_deleted(behind_proxy, proxy):
    behind_proxy.put(KEY, io.BytesIO(b"x"))
    left = "<Error><Key>x</Key><Code>InternalError</Code><Message>no</Message></Error>"
    proxy.fail(http("200 OK", f"<DeleteResult>{left}</DeleteResult>"), at=b"?delete")

    behind_proxy.delete([KEY])

    with pytest.raises(NotFound):
        behind_proxy.get(KEY)


@pytest.mark.parametrize("failure", [BUSY, RESET])
def test_a_server_that_goes_on_failing_is_a_refusal_after_a_few_attempts(behind_proxy, proxy, failure):
    proxy.fail(*[failure] * 10)

    with pytest.raises(Unavailable, match="OBJECT_STORE_URL"):
        behind_proxy.put(KEY, io.BytesIO(b"x"))

    assert len(proxy.answers) == 10 - ATTEMPTS


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (refusal("403 Forbidden", "AccessDenied"), Unavailable),
        (refusal("404 Not Found", "NoSuchBucket"), Unavailable),
        (refusal("404 Not Found", "NoSuchKey"), NotFound),
    ],
)
def test_what_asking_again_would_not_change_is_asked_once(behind_proxy, proxy, answer, error):
    proxy.fail(answer, answer)

    with pytest.raises(error):
        behind_proxy.get(KEY)

    assert len(proxy.answers) == 1
