"""Requests whose files go to disk while they are received, and of which little else is kept in memory."""

from collections.abc import Callable
from os import SEEK_END
from typing import IO, Any, Protocol, cast

from flask import Request
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser, MultiPartParser
from werkzeug.sansio.multipart import File

from app.errors import BadInput
from app.web.forms import temporary
from app.web.large_bodies import FORM

DOCUMENT = "document"  # the name of parts that are not files of the form, but documents
TAIL = 1_000  # bytes that may follow a form
MOST_PARTS = 5_000  # of a form with documents


class Documents(Protocol):
    """Takes the documents of a form, each as it comes."""

    size: int  # bytes received

    def begin(self, name: str | None) -> IO[bytes]:
        """Where the content of the next one goes; it is sought when it has ended."""


class SpoolingRequest(Request):
    """Keeps uploads on Penstock's own disk, not in the system's folder for small files.

    What a form has besides its files takes memory: `max_form_memory_size` is for all of it together.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._spooled: list[IO[bytes]] = []
        self._complete = 0  # bytes of all files but the last one

    documents: Documents | None = None  # takes the parts of that name; None: they are files like others

    def make_form_data_parser(self) -> FormDataParser:
        if self.documents is None:
            return super().make_form_data_parser()
        return _Forms(
            self._get_file_stream,
            self.max_form_memory_size,
            self.max_content_length,
            self.parameter_storage_class,
            max_form_parts=MOST_PARTS,
        ).with_documents(self.documents)

    def _get_file_stream(self, *_: Any, **__: Any) -> IO[bytes]:
        self._complete = self._bytes_of_files()
        self._spooled.append(temporary())
        return self._spooled[-1]

    def _get_stream_for_parsing(self) -> IO[bytes]:
        stream = super()._get_stream_for_parsing()
        if self.mimetype != FORM:
            return stream
        return cast(IO[bytes], _Watched(stream, self._bytes_of_files, self.max_form_memory_size))

    def _bytes_of_files(self) -> int:
        documents = 0 if self.documents is None else self.documents.size
        return documents + self._complete + (_size(self._spooled[-1]) if self._spooled else 0)

    def _load_form_data(self) -> None:
        """Of a form that ends in the middle nobody gets the files, so nobody would close them."""
        try:
            super()._load_form_data()
        except BaseException:
            for file in self._spooled:
                file.close()
            raise


class _Forms(FormDataParser):
    """Parses forms whose documents are passed on."""

    def with_documents(self, documents: Documents) -> "_Forms":
        self._documents = documents
        return self

    def _parse_multipart(
        self, stream: IO[bytes], mimetype: str, content_length: int | None, options: dict[str, str]
    ) -> tuple[IO[bytes], MultiDict[str, str], MultiDict[str, FileStorage]]:
        boundary = options.get("boundary", "").encode("ascii")
        if not boundary:
            raise ValueError("there is no boundary")
        parts = _Parts(
            self.stream_factory,
            self.max_form_memory_size,
            self.cls,
            max_form_parts=self.max_form_parts,
        )
        parts.documents = self._documents
        ended = _Ended(stream, b"--" + boundary + b"--")
        try:
            form, files = parts.parse(cast(IO[bytes], ended), boundary, content_length)
        except ValueError as error:  # of which its caller would make an empty form
            raise BadInput(f"the form cannot be read ({error}): send it again") from None
        if not ended.is_whole:
            raise BadInput("the form ends in the middle, so documents may be missing: send it again")
        return stream, form, files


class _Parts(MultiPartParser):
    documents: Documents

    def start_file_streaming(self, event: File, total_content_length: int | None) -> IO[bytes]:
        if event.name == DOCUMENT:
            return self.documents.begin(event.filename)
        return super().start_file_streaming(event, total_content_length)


class _Ended:
    """A form that is read, and whether its last line is there: without it the last parts may not be."""

    def __init__(self, stream: IO[bytes], last_line: bytes) -> None:
        self._stream, self._last_line, self._tail = stream, last_line, b""

    @property
    def is_whole(self) -> bool:
        return self._last_line in self._tail

    def read(self, size: int = -1) -> bytes:
        piece = self._stream.read(size)
        self._tail = (self._tail + piece)[-(len(self._last_line) + TAIL) :]
        return piece


class _Watched:
    """A form that is read. What was read and is in no file, is in memory: at most `limit` bytes of it."""

    def __init__(self, stream: IO[bytes], bytes_of_files: Callable[[], int], limit: int | None) -> None:
        self._stream, self._bytes_of_files, self._limit = stream, bytes_of_files, limit
        self._read = 0

    def read(self, size: int = -1) -> bytes:
        if self._limit is not None and self._read - self._bytes_of_files() > self._limit:
            raise RequestEntityTooLarge
        piece = self._stream.read(size)
        self._read += len(piece)
        return piece


def _size(file: IO[bytes]) -> int:
    here = file.tell()
    end = file.seek(0, SEEK_END)
    file.seek(here)
    return end
