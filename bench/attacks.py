"""What one tenant can do with its own key, or without one: each load in a process of its own.

    python -m bench.attacks NAME ADDRESS RECORDS

The key is in PENSTOCK_API_KEY. It says `begun` when the load is on, goes on until its standard input ends,
and then says as JSON how often it got which answer.
"""

import base64
import http.client
import io
import json
import os
import socket
import sys
import threading
import time
import uuid
import zipfile
from collections import Counter
from collections.abc import Callable
from urllib.parse import urlsplit

import xlsxwriter

PATIENCE = 120  # seconds that an attacker waits for an answer
PIECE = 1 << 20  # bytes read at once
AFTER_A_CUT = 1.0  # seconds until a connection is opened again
JSON = {"Content-Type": "application/json"}
BOUNDARY = "bench"


class Caller:
    """The attacking tenant, and the answers that it got, by status; `cut` where there was none."""

    def __init__(self, address: str, key: str, records: int) -> None:
        self.netloc = urlsplit(address).netloc
        self.records = records
        self.answers: Counter[str] = Counter()
        self._key = {"X-API-Key": key}

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> bytes:
        """The body of the answer; it is read to its end, and empty if there is none."""
        connection = http.client.HTTPConnection(self.netloc, timeout=PATIENCE)
        try:
            connection.request(method, path, body, self._key | headers)  # type: ignore[arg-type]
            answer = connection.getresponse()
            first = answer.read(PIECE)
            while answer.read(PIECE):
                pass
        except (OSError, http.client.HTTPException):
            self.answers["cut"] += 1
            time.sleep(AFTER_A_CUT)
            return b""
        finally:
            connection.close()
        self.answers[str(answer.status)] += 1
        return first

    def post(self, path: str, body: object, **headers: str) -> bytes:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", path, content, **JSON, **headers)

    def send_file(self, name: str, content: bytes, **fields: str) -> bytes:
        """Submit a job as a file."""
        kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        return self.ask("POST", "/api/v1/jobs", form(name, content, **fields), **kind)

    def hold(self, request: str) -> None:
        """Open a connection, send this, and keep it open; if it is cut, again."""
        host, port = self.netloc.split(":")
        while True:
            try:
                with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
                    connection.sendall(request.format(key=self._key["X-API-Key"]).encode())
                    connection.settimeout(None)
                    status = connection.recv(PIECE).split(b" ")
                    self.answers[status[1].decode() if len(status) > 1 else "cut"] += 1
                    while connection.recv(PIECE):
                        pass
            except OSError:
                self.answers["cut"] += 1
            time.sleep(AFTER_A_CUT)


Attack = Callable[[Caller], None]
ATTACKS: dict[str, Attack] = {}


def attack(function: Attack) -> Attack:
    ATTACKS[function.__name__.replace("_", "-")] = function
    return function


def again(count: int, action: Callable[[], object]) -> None:
    """Do it over and over, in so many threads."""

    def forever() -> None:
        while True:
            action()

    together(count, forever)


def together(count: int, action: Callable[[], object]) -> None:
    for _ in range(count):
        threading.Thread(target=action, daemon=True).start()


@attack
def none(caller: Caller) -> None:
    """Nothing: what the other tenant gets when it is alone."""


@attack
def tiny_jobs(caller: Caller) -> None:
    """8 submitters of jobs of one record."""
    again(8, lambda: caller.post("/api/v1/jobs", small_job()))


@attack
def upload(caller: Caller) -> None:
    """One job of a million records."""
    lines = b"".join(b'{"prompt":"Review %d"}\n' % number for number in range(caller.records))
    together(1, lambda: caller.send_file("records.jsonl", lines, model="simulated"))


@attack
def streams(caller: Caller) -> None:
    """224 streams of the events of a paused job."""
    lines = b"".join(b'{"prompt":"Review %d"}\n' % number for number in range(5_000))
    job = json.loads(caller.send_file("records.jsonl", lines, model="simulated"))
    caller.ask("POST", f"/api/v1/jobs/{job['id']}/pause")
    path = job["links"]["events"]
    request = f"GET {path} HTTP/1.1\r\nHost: {caller.netloc}\r\nX-API-Key: {{key}}\r\n\r\n"
    together(224, lambda: caller.hold(request))


@attack
def csv_exports(caller: Caller) -> None:
    """8 downloads of a million results as CSV."""
    _export(caller, "csv", 8)


@attack
def xlsx_exports(caller: Caller) -> None:
    """4 downloads of a million results as XLSX."""
    _export(caller, "xlsx", 4)


def _export(caller: Caller, kind: str, count: int) -> None:
    listed = json.loads(caller.ask("GET", "/api/v1/jobs?limit=1"))
    path = listed["data"][0]["links"]["results"]
    again(count, lambda: caller.ask("GET", f"{path}?format={kind}"))


@attack
def documents(caller: Caller) -> None:
    """4 senders of 1,500 documents of a kilobyte each."""
    tenant = json.loads(caller.ask("GET", "/api/v1/me"))["tenant_id"]
    text = base64.b64encode(b"A page of a report. " * 50).decode()
    several = [{"filename": f"{number}.txt", "content": text} for number in range(1_500)]
    body = json.dumps({"tenant_id": tenant, "documents": several}).encode()
    again(4, lambda: caller.post("/api/v1/batch/jobs", body))


@attack
def xlsx_files(caller: Caller) -> None:
    """4 senders of a workbook of 17 kB, with 5,000 rows of one cell in its last column."""
    workbook = rows_of_one_cell(5_000)
    again(4, lambda: caller.send_file("r.xlsx", workbook, model="simulated", template="{{ a }}"))


@attack
def xlsx_files_and_json(caller: Caller) -> None:
    """The same, and 260 senders of 1.1 MB of JSON."""
    xlsx_files(caller)
    body = json.dumps({"model": "simulated", "records": [{"prompt": "x" * 1_100_000}]}).encode()
    again(260, lambda: caller.post("/api/v1/jobs/estimate", body))


@attack
def templates(caller: Caller) -> None:
    """6 senders of a template of 1 MB."""
    template = "{{ a" + "|x" * 490_000 + " }}"
    body = json.dumps({"model": "simulated", "template": template, "records": [{"a": "1"}]}).encode()
    again(6, lambda: caller.post("/api/v1/jobs/estimate", body))


@attack
def schema_18(caller: Caller) -> None:
    """A schema of 1.4 kB that grows 2^18 times when its references are followed, again and again."""
    _schema(caller, 18)


@attack
def schema_22(caller: Caller) -> None:
    """The same, 2^22 times."""
    _schema(caller, 22)


def _schema(caller: Caller, doublings: int) -> None:
    levels = {
        f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} if n < doublings else {"type": "object"}
        for n in range(doublings + 1)
    }
    schema = {"unevaluatedProperties": False, "$ref": "#/$defs/d0", "$defs": levels}
    again(1, lambda: caller.post("/api/v1/jobs/estimate", {**small_job(), "schema": schema}))


@attack
def half_headers(caller: Caller) -> None:
    """300 connections, without a key, that send half of a request's head."""
    together(300, lambda: caller.hold(f"GET /health HTTP/1.1\r\nHost: {caller.netloc}\r\nX-A: "))


@attack
def many_jobs(caller: Caller) -> None:
    """8 submitters of tiny jobs with a key each, where 100,000 ended jobs and keys of theirs are stored."""
    again(8, lambda: caller.post("/api/v1/jobs", small_job(), **{"Idempotency-Key": f"bench-{uuid.uuid4()}"}))


@attack
def slow_jobs(caller: Caller) -> None:
    """20 jobs of 100 records each, with calls of 10 seconds."""
    records = [{"prompt": f"Review {number}"} for number in range(100)]
    body = {"model": "simulated", "records": records, "params": {"simulate": {"latency_ms": 10_000}}}
    for _ in range(20):
        caller.post("/api/v1/jobs", body)


def small_job() -> dict[str, object]:
    return {"model": "simulated", "records": [{"prompt": "Why is the sky blue?"}]}


def form(name: str, content: bytes, **fields: str) -> bytes:
    """A multipart body with a file and fields."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
        for field, value in fields.items()
    ]
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    return b"".join([*parts, head.encode(), content, f"\r\n--{BOUNDARY}--\r\n".encode()])


def table(rows: int) -> bytes:
    """A workbook with one column `a`."""
    made = io.BytesIO()
    with xlsxwriter.Workbook(made) as workbook:
        sheet = workbook.add_worksheet()
        for number in range(rows + 1):
            sheet.write_string(number, 0, f"Row {number}" if number else "a")
    return made.getvalue()


def rows_of_one_cell(rows: int) -> bytes:
    """The workbook `table(1)` with other rows: each has one cell, in column XFD."""
    cells = "".join(
        f'<row r="{n}"><c r="{"A" if n == 1 else "XFD"}{n}" t="inlineStr"><is><t>a</t></is></c></row>'
        for n in range(1, rows + 1)
    )
    made = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(table(1))) as given,
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in given.namelist():
            content = given.read(name).decode()
            if name == "xl/worksheets/sheet1.xml":
                content = between(content, "<sheetData>", "</sheetData>", cells)
                content = between(content, '<dimension ref="', '"/>', f"A1:XFD{rows}")
            new.writestr(name, content)
    return made.getvalue()


def between(text: str, before: str, after: str, instead: str) -> str:
    head, _, rest = text.partition(before)
    return f"{head}{before}{instead}{after}{rest.partition(after)[2]}"


def main(name: str, address: str, records: str) -> None:
    caller = Caller(address, os.environ["PENSTOCK_API_KEY"], int(records))
    ATTACKS[name](caller)
    print("begun", flush=True)
    sys.stdin.read()
    print(json.dumps(caller.answers), flush=True)
    os._exit(0)  # its threads would go on


if __name__ == "__main__":
    main(*sys.argv[1:])
