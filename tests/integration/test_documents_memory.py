"""A form with more documents than a process should hold: they take its memory one at a time."""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

from tests.conftest import penstock_of_its_own
from tests.support.front_door import JOBS, Door
from tests.support.web_process import web_process

DOCUMENTS, SIZE = 30, 3_000_000
MEMORY = 30_000_000  # bytes that all of them may take at once
BOUNDARY = b"-many-"


def parts() -> Iterator[bytes]:
    yield b'--%b\r\nContent-Disposition: form-data; name="model"\r\n\r\nsimulated\r\n' % BOUNDARY
    for number in range(DOCUMENTS):
        yield (
            b'--%b\r\nContent-Disposition: form-data; name="document"; filename="%d.txt"\r\n\r\n'
            % (BOUNDARY, number)
        )
        yield b"%d" % (number % 10) * SIZE
        yield b"\r\n"
    yield b"--%b--\r\n" % BOUNDARY


def test_many_large_documents_take_the_memory_of_one(request, tmp_path):
    with (
        penstock_of_its_own("sqlite", request, tmp_path, DEFAULT_MODEL="simulated") as environment,
        web_process(environment, tmp_path) as web,
        closing(http.client.HTTPConnection(urlsplit(web.url).netloc, timeout=60)) as connection,
    ):
        # Given a process that has answered before
        door = Door()
        headers = {
            "X-API-Key": door.key,
            "Content-Type": f"multipart/form-data; boundary={BOUNDARY.decode()}",
        }
        connection.request("GET", JOBS, headers={"X-API-Key": door.key})
        connection.getresponse().read()
        web.forget_peak()
        before = web.resident_bytes()

        # When it gets all of them
        size = str(sum(map(len, parts())))
        connection.request("POST", JOBS, parts(), headers | {"Content-Length": size})
        response = connection.getresponse()
        answer = response.read()

        # Then it has stored them, and held little of them
        assert response.status == 202, answer
        assert json.loads(answer)["total"] == DOCUMENTS
        assert web.peak_bytes() - before < MEMORY
