"""Files: uploaded, listed, read and deleted. The outputs of batches are files, too."""

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import PurePath
from typing import Any, BinaryIO, cast

from flask import Response, request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge

from app.core.accounts.api_keys import READ, WRITE
from app.core.documents import files
from app.core.reading import file_batches
from app.dialects.openai import file_list, wire
from app.dialects.openai.blueprint import blp
from app.dialects.openai.outputs import Output
from app.dialects.openai.schemas import MONTH, DeletedOut, FileOut, FilePage, FileQuery, UploadIn
from app.dialects.openai.wire import INPUT, OUTPUT, FileId
from app.errors import BadInput, NotFound, TooLarge
from app.ingest.values import as_line
from app.services import batch_files
from app.web import bodies, capacity, idempotency, job_lookup, openapi
from app.web.auth import caller, needs
from app.web.forms import temporary
from app.web.large_bodies import FORM, UPLOAD, takes
from config import settings
from models.file import File, FileBatch
from models.session import reading

PIECE = 256_000  # bytes that are read at once
LONGEST_NAME = 255  # characters
BATCH = "batch"  # the purpose of a file of requests
CONTENT = "application/octet-stream"

EXAMPLE = {
    "file": '{"custom_id":"sky","method":"POST","url":"/v1/messages","body":{"model":"simulated",'
    '"max_tokens":99,"messages":[{"role":"user","content":"Why is the sky blue?"}]}}\n',
    "purpose": BATCH,
}
_UPLOAD = openapi.request_body((openapi.FORM, UploadIn, EXAMPLE))
_FILE = {"in": "path", "name": "file_id", "schema": {"type": "string"}}


@blp.route("/files", methods=["POST"])
@needs(WRITE, 400, 413, 415, 429, 503)
@blp.doc(requestBody=_UPLOAD, parameters=[idempotency.DESCRIPTION])
@blp.response(200, FileOut)
@takes({FORM: UPLOAD})
def upload_file() -> dict[str, Any]:
    """Upload a file, such as one of requests for a batch: JSON lines with the purpose `batch`."""
    bodies.require_form(request)
    part, asked = _form()
    size = part.stream.seek(0, 2)
    limit = settings.current().max_upload_bytes
    if size > limit:
        raise _too_large()
    seconds = asked.get("seconds", MONTH if asked["purpose"] == BATCH else None)
    me, content = caller(), cast(BinaryIO, part.stream)
    upload = files.Upload(_name(part), asked["purpose"], size, seconds)
    upload = upload._replace(again=_again(upload, content))
    return wire.file(files.keep(me.tenant_id, me.tenant_uid, me.user_id, upload, content))


@blp.route("/files", methods=["GET"])
@needs(READ, 400, 503)
@blp.arguments(FileQuery, location="query", error_status_code=400)
@blp.response(200, FilePage)
def list_files(query: Mapping[str, Any]) -> dict[str, Any]:
    """List files, the newest first: those that were uploaded, and the outputs of batches that have ended.

    A page may have fewer files than `limit` where the next ones are large; `has_more` says whether more come.
    """
    with capacity.preparing() as seat:
        found, has_more = file_list.page(caller().tenant_id, query)
        seat.give_back()
    return wire.page(found, has_more=has_more)


@blp.route("/files/<file_id>", methods=["GET"], parameters=[_FILE])
@needs(READ, 404, 503)
@blp.response(200, FileOut)
def get_file(file_id: str) -> dict[str, Any]:
    """Get a file's name, size and times."""
    found = _find(file_id)
    if isinstance(found, File):
        return wire.file(found)
    with capacity.preparing() as seat:
        out = found.out()
        seat.give_back()
    return out


@blp.route("/files/<file_id>/content", methods=["GET"], parameters=[_FILE])
@needs(READ, 404, 503)
@blp.response(200, {"type": "string", "format": "binary"}, content_type=CONTENT)
def get_file_content(file_id: str) -> Response:
    """Get a file's content. That of a batch's output can be read while the batch runs."""
    found = _find(file_id)
    with capacity.preparing() as seat:
        if isinstance(found, File):
            content = temporary()
            try:
                files.copy(found, content)
            except BaseException:
                content.close()
                raise
            chunks, name = _pieces(content), found.name
        else:
            chunks, name = found.pieces(), found.name
        headers = {"Content-Disposition": wire.disposition(name)}
        return capacity.stream(chunks, CONTENT, headers, seat)


@blp.route("/files/<file_id>", methods=["DELETE"], parameters=[_FILE])
@needs(WRITE, 400, 404, 503)
@blp.response(200, DeletedOut)
def delete_file(file_id: str) -> dict[str, Any]:
    """Delete a file. A batch that was made of it goes on, and an output's batch keeps its answers."""
    found, me = _find(file_id), caller()
    if isinstance(found, File):
        files.remove(me.tenant_id, found.uid)
    elif found.kind == INPUT:
        raise BadInput("file_id: these requests belong to their batch, and cannot be deleted alone")
    else:
        column = "output_deleted_at" if found.kind == OUTPUT else "errors_deleted_at"
        missing = FileBatch(endpoint=wire.CHAT, completion_window=wire.WINDOW)
        batch_files.delete(me.tenant_id, str(found.view.uid), missing, column)
    return {"id": file_id, "object": "file", "deleted": True}


def input_file(file_id: str) -> File | Output:
    """The file of requests that a batch is to be made of: an uploaded one, or that of an earlier batch.

    Raises `NotFound`, and `BadInput` for a file of another purpose.
    """
    found = _find(file_id)
    purpose = found.purpose if isinstance(found, File) else wire.purpose(found.kind)
    if purpose != BATCH:
        raise BadInput.of_field(
            "input_file_id", f"the file {file_id!r} has the purpose {purpose!r}: upload it with {BATCH!r}"
        )
    return found


@contextmanager
def content(found: File | Output) -> Iterator[BinaryIO]:
    """What is in the file, in a temporary one; holds a place for large content."""
    with capacity.memory() as memory, temporary() as held:
        if isinstance(found, File):
            memory.hold(found.bytes)
            files.copy(found, held)
        else:
            for piece in found.pieces():
                held.write(piece)
                memory.hold(held.tell())
        yield held


def unknown(file_id: str) -> NotFound:
    return NotFound(f"there is no file {file_id[:100]!r}: it may have expired, or been deleted")


def _find(file_id: str) -> File | Output:
    """The caller's file of that id; raises `NotFound`."""
    found = wire.read_file_id(file_id)
    if found is None:
        raise unknown(file_id)
    return _uploaded(found.uid, file_id) if found.of_batch is None else _of_batch(found, file_id)


def _uploaded(uid: uuid.UUID, file_id: str) -> File:
    try:
        with reading() as session:
            return files.find(session, caller().tenant_id, uid)
    except NotFound:
        raise unknown(file_id) from None


def _of_batch(found: FileId, file_id: str) -> Output:
    kind = cast(str, found.of_batch)
    try:
        view = job_lookup.find_job(str(found.uid))
    except NotFound:
        raise unknown(file_id) from None
    with reading() as session:
        terms = file_batches.of(session, [view]).get(view.id)
        is_there = file_batches.can_be_read(session, view, terms)
    if not is_there or wire.was_deleted(terms, kind) or not (kind == INPUT or wire.has(view, kind)):
        raise unknown(file_id)
    return Output(view, terms, kind)


def _again(upload: files.Upload, content: BinaryIO) -> files.Again | None:
    """By what the upload is found when a client sends it again; leaves `content` at its beginning."""
    sent = idempotency.sending(request.headers)
    if sent is None:
        return None
    digest = hashlib.sha256(repr(upload).encode())
    content.seek(0)
    for piece in iter(partial(content.read, PIECE), b""):
        digest.update(piece)
    content.seek(0)
    repeat = sent.repeat(digest.digest())
    within = idempotency.KEPT if repeat.within is None else repeat.within
    return files.Again(repeat.key, digest.hexdigest(), within)


def _form() -> tuple[FileStorage, dict[str, Any]]:
    """The file of the request, and the fields beside it."""
    bodies.decode(UPLOAD.bytes(settings.current()))
    request.max_form_memory_size = settings.current().max_json_bytes
    try:
        form, parts = request.form, request.files
    except RequestEntityTooLarge:
        raise _too_large() from None
    if "file" not in parts:
        raise BadInput.of_field("file", "send the file as the part named `file`, with a file name")
    asked = bodies.load(UploadIn(), {**form.to_dict(), "file": parts["file"].filename})
    return parts["file"], asked


def _too_large() -> TooLarge:
    limit = settings.current().max_upload_bytes
    return TooLarge(f"the file has over {limit:,} bytes (MAX_UPLOAD_BYTES): split it into several files")


def _name(part: FileStorage) -> str:
    """The file's name without the folder that some clients send with it."""
    name = PurePath(part.filename or "").name
    return as_line(name)[-LONGEST_NAME:] or "upload"


def _pieces(content: BinaryIO) -> Iterator[bytes]:
    with content:
        content.seek(0)
        yield from iter(partial(content.read, PIECE), b"")
