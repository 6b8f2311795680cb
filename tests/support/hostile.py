"""The corpus of tests/hostile: what each file is, and the requests that bring it to every door for its kind.

A file stands in the folder of its kind and is named by what it does. One that ends in `.py` is a recipe: a
program that prints the file, for what is too large to keep. A name that begins with `harmless-` says that
the content may be accepted; everything else must be refused.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import urlencode

CORPUS = Path(__file__).parents[1] / "hostile"
HARMLESS = "harmless-"
JSON = {"Content-Type": "application/json"}
RECORDS = [{"prompt": "Say something"}]
ROWS = b'{"review": "good", "a": "b"}\n'
BOUNDARY = "-hostile-corpus-"

JOBS, QUOTE = "/api/v1/jobs", "/api/v1/jobs/estimate"
OVERRIDE = "/api/v1/prompt-overrides/chat"
DOCUMENTS = "/api/v1/batch/jobs"
CHATS = "/api/batch/create"
BATCHES = "/v1/messages/batches"
TEXTS, ANALYSES = "/api/v1/batch_process", "/api/v1/batch/analyze"
PROCESSOR = "/api/batch-processor/submit"
NEW = "/ui/new"


@dataclass(frozen=True)
class Request:
    """One HTTP request.

    `{job}`, `{tenant}`, `{draft}` and `{token}` (of its browser's forms) in its path or body stand for the
    attacker's own.
    """

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Bomb:
    """A file of the corpus."""

    kind: str
    path: Path

    @property
    def name(self) -> str:
        return f"{self.kind}/{self.path.name.removesuffix('.py')}"

    @property
    def is_harmless(self) -> bool:
        return self.path.name.startswith(HARMLESS)

    def content(self) -> bytes:
        return _printed(self.path) if self.path.suffix == ".py" else self.path.read_bytes()

    def requests(self) -> Iterator[Request]:
        """The bomb at each door that takes its kind."""
        return DOORS[self.kind](self.content(), Path(self.name).name)


def bombs() -> list[Bomb]:
    """The whole corpus."""
    return [Bomb(kind, path) for kind in DOORS for path in sorted((CORPUS / kind).glob("[!._]*"))]


@cache
def _printed(recipe: Path) -> bytes:
    return subprocess.run([sys.executable, str(recipe)], capture_output=True, check=True).stdout


def form(file: str, content: bytes, **fields: bytes) -> tuple[bytes, dict[str, str]]:
    """The body and the header of a form with a file and these fields."""
    parts = [_part(f'name="{name}"', text) for name, text in fields.items()]
    parts.append(_part(f'name="file"; filename="{file}"', content))
    body = b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def _part(disposition: str, content: bytes) -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n"
    return head.encode() + content + b"\r\n"


def _uploads(file: str, content: bytes, **fields: bytes) -> Iterator[Request]:
    for path in (JOBS, QUOTE):
        yield Request("POST", path, *form(file, content, model=b"simulated", **fields))


def _submissions(**fields: object) -> Iterator[Request]:
    body = json.dumps({"model": "simulated", "records": RECORDS, **fields}).encode()
    for path in (JOBS, QUOTE):
        yield Request("POST", path, body, JSON)


def _typed(path: str, **fields: str) -> Request:
    """A form of the page."""
    body = b"csrf_token={token}&" + urlencode(fields).encode()
    return Request("POST", path, body, {"Content-Type": "application/x-www-form-urlencoded"})


def _schemas(content: bytes, _: str) -> Iterator[Request]:
    body = b'{"model": "simulated", "records": [{"prompt": "x"}], "schema": %b}' % content
    for path in (JOBS, QUOTE):
        yield Request("POST", path, body, JSON)
    yield from _uploads("records.jsonl", b'{"prompt": "x"}\n', schema=content)


def _templates(content: bytes, _: str) -> Iterator[Request]:
    text = content.decode()
    yield from _submissions(template=text, records=[json.loads(ROWS)])
    yield from _uploads("records.jsonl", ROWS, template=content)
    yield from _uploads("records.csv", b"review,a\ngood,b\n", template=content)
    yield _typed("{draft}", ask="prompt", template=text, action="quote")
    yield _typed("/ui/prompts/chat/preview", prompt=text)
    for name in ("prompt", "system"):
        yield Request("PUT", OVERRIDE, json.dumps({name: text}).encode(), JSON)


def _patterns(content: bytes, file: str) -> Iterator[Request]:
    text = content.decode().rstrip("\n")
    for schema in ({"pattern": text}, {"patternProperties": {text: {}}}):
        yield from _schemas(json.dumps(schema).encode(), file)


def _bodies(content: bytes, _: str) -> Iterator[Request]:
    for path in (
        JOBS,
        QUOTE,
        TEXTS,
        ANALYSES,
        "/api/v1/analyze",
        PROCESSOR,
        DOCUMENTS,
        BATCHES,
        "/api/v1/keys",
    ):
        yield Request("POST", path, content, JSON)
    yield Request("POST", "/api/batch-processor/configure", content, JSON)
    yield Request("PATCH", "/api/v1/jobs/{job}", content, JSON)
    yield Request("PUT", OVERRIDE, content, JSON)
    yield Request("PUT", "/api/v1/limits/simulated", content, JSON)


def _lines(content: bytes, _: str) -> Iterator[Request]:
    yield from _uploads("records.jsonl", content)
    yield from _uploads("records.jsonl", content, template=b"Judge {{ review }}")


def _forms(content: bytes, _: str) -> Iterator[Request]:
    """Headers, a blank line, and the body as it is."""
    head, _, body = content.partition(b"\n\n")
    headers = dict(line.split(": ", 1) for line in head.decode().splitlines())
    for path in (JOBS, QUOTE, CHATS):
        yield Request("POST", path, body, headers)


def _sheets(content: bytes, file: str) -> Iterator[Request]:
    yield from _uploads(file, content, template=b"Judge {{ review }}")
    yield from _uploads(file, content)
    yield Request("POST", CHATS, *form(file, content, aiProvider=b"simulated"))
    yield Request("POST", NEW, *form(file, content, csrf_token=b"{token}"))


def _documents(content: bytes, _: str) -> Iterator[Request]:
    """The list of documents of a job."""
    body = b'{"tenant_id": "{tenant}", "documents": %b}' % content
    yield Request("POST", DOCUMENTS, body, JSON)
    documents = json.loads(content)
    records = [
        {"document": document} for document in (documents if isinstance(documents, list) else [documents])
    ]
    yield from _submissions(records=records)


def _files(content: bytes, file: str) -> Iterator[Request]:
    """A document by its name, to be asked about."""
    parts = [_part(f'name="{name}"', text) for name, text in (("model", b"simulated"), ("prompt", b"Sum up"))]
    parts.append(_part(f'name="document"; filename="{file}"', content))
    body = b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()
    yield Request("POST", JOBS, body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})


def _whole(content: bytes, _: str) -> Iterator[Request]:
    """A request as it is sent: its line, its headers, a blank line, its body."""
    head, _, body = content.rstrip(b"\n").partition(b"\n\n")
    line, *headers = head.decode("latin-1").splitlines()
    method, path = line.split(" ", 1)
    yield Request(method, path, body, dict(header.split(": ", 1) for header in headers))


# By kind, which is the name of a folder: from a file's content and name to requests.
DOORS: Mapping[str, Callable[[bytes, str], Iterator[Request]]] = {
    "schemas": _schemas,
    "patterns": _patterns,
    "templates": _templates,
    "json": _bodies,
    "jsonl": _lines,
    "forms": _forms,
    "requests": _whole,
    "sheets": _sheets,
    "documents": _documents,
    "files": _files,
}
