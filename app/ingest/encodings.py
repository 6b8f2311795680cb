"""The encoding of a text: detected from its bytes, and rejected rather than guessed when it is ambiguous,
unless its sender names it.

UTF-8 and UTF-16 can be recognised with certainty. For the others, charset-normalizer says what reads as a
language; it is given the encodings that spreadsheets are saved in, and compares only alphabets of one kind
with each other.
"""

import codecs
import re
from dataclasses import dataclass
from typing import BinaryIO

from charset_normalizer import CharsetMatch, from_bytes

from app.errors import BadInput
from app.ingest.sheets import alphabets, western

HEAD = 1_000_000  # bytes that are read at once
SAMPLE = 100_000  # bytes whose language is detected: a tenth of a second

MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its prefix
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

WESTERN = "cp1252"
# Alternatives to the western one, for text in one of these languages.
LATIN = {
    "cp1250": {"Polish", "Czech", "Slovak", "Hungarian", "Croatian", "Slovene", "Romanian"},
    "cp1254": {"Turkish"},
}
ALPHABETS = ("cp1251", "koi8_r", "cp1253", "cp1255", "cp1256")
CHARACTERS = (
    "gb18030",
    "big5",
    "cp932",
    "euc_jp",
    "cp949",
)  # double-byte: hardly anything else reads like it
# Words of another alphabet, read as Western European: six accented letters in a row.
NOT_WESTERN = re.compile(rb"[\xa1-\xff]{6}|(?:[\x81-\x9f\xe0-\xfc][\x40-\x7e\x80-\xfc]){6}")
# What a sender may name, and how a person knows it; all but the last two can be detected.
NAMED = {
    "utf-8": "Unicode (UTF-8)",
    "utf-16": "Unicode (UTF-16)",
    WESTERN: "Western European (Windows-1252)",
    "cp1250": "Central European (Windows-1250)",
    "cp1251": "Cyrillic (Windows-1251)",
    "koi8_r": "Cyrillic (KOI8-R)",
    "cp1253": "Greek (Windows-1253)",
    "cp1254": "Turkish (Windows-1254)",
    "cp1255": "Hebrew (Windows-1255)",
    "cp1256": "Arabic (Windows-1256)",
    "gb18030": "Chinese, simplified (GB18030)",
    "big5": "Chinese, traditional (Big5)",
    "cp932": "Japanese (Shift JIS)",
    "euc_jp": "Japanese (EUC-JP)",
    "cp949": "Korean (Windows-949)",
    "mac_roman": "Western European (Macintosh)",
    "cp850": "Western European (DOS, 850)",
}
WITHOUT_MARK = {"utf-16": "utf-16-le"}  # the order of bytes that nearly all programs write
CLEAR = 0.1  # of coherence: separates a language from chance; always 0 for double-byte characters
MARGIN = 0.05  # of chaos: separates letters from others that happen to have their codes


def find_encoding(stream: BinaryIO, named: str | None = None) -> str:
    """The encoding of a seekable `stream`: the `named` one, or from its mark or its bytes.

    The whole stream is decoded once, so that readers need no error handling. Raises `BadInput` with the line.
    """
    marked = find_mark(stream)
    if named is not None:
        codec = marked if marked is not None and marked.startswith(named) else WITHOUT_MARK.get(named, named)
        fault = _find_fault(stream, codec)
        if fault is not None:
            raise fault.refusal(named, "choose another encoding, or leave it to be detected")
        return codec
    fault = _find_fault(stream, marked or "utf-8")
    if fault is None:
        return marked or "utf-8"
    if marked or fault.is_utf8:
        raise fault.refusal(marked or "utf-8")
    for encoding in _candidates(fault.rest, fault.before):
        if _find_fault(stream, encoding) is None:
            return encoding
    raise BadInput(
        f"line {fault.line}: byte 0x{fault.byte:02x} is not UTF-8, and the encoding of the file is"
        " ambiguous: save it as UTF-8"
    )


def _candidates(text: bytes, before: bytes) -> list[str]:
    """Candidates for a text that is not UTF-8, the likeliest first; `before` is the character before it."""
    other = NOT_WESTERN.search(text)
    if other is None:
        sample = _sample(text)
        likely = western.candidates(before + sample, _latin(sample) or WESTERN)
        return alphabets.reconsidered(before + sample, likely)
    sample = _sample(text[text.rfind(b"\n", 0, other.start()) + 1 :])
    found = _other_alphabet(sample)
    return alphabets.reconsidered(sample, [] if found is None else [found])


def _latin(sample: bytes) -> str | None:
    """An encoding of `LATIN` in which the sample reads more like a language than in the western one."""
    best, coherences = _matches(sample, (WESTERN, *LATIN))
    if best is None or best.coherence <= coherences.get(WESTERN, 0.0):
        return None
    return best.encoding if best.language in LATIN.get(best.encoding, ()) else None


def _other_alphabet(sample: bytes) -> str | None:
    """The encoding that is clearly likelier than the next one."""
    matches = list(from_bytes(sample, cp_isolation=[*ALPHABETS, *CHARACTERS]))
    if not matches:
        return None
    best, *others = matches
    if best.coherence - max((other.coherence for other in others), default=0.0) > CLEAR:
        return best.encoding
    is_orderly = min((other.chaos for other in others), default=1.0) - best.chaos > MARGIN
    can_be = best.coherence > CLEAR or best.encoding in CHARACTERS
    return best.encoding if is_orderly and can_be else None


def _matches(sample: bytes, encodings: tuple[str, ...]) -> tuple[CharsetMatch | None, dict[str, float]]:
    """The likeliest ones, and how much the sample reads like a language in each."""
    matches = list(from_bytes(sample, cp_isolation=list(encodings)))
    return (matches[0] if matches else None), {match.encoding: match.coherence for match in matches}


def _sample(text: bytes) -> bytes:
    """Its beginning, cut between two lines so that no character is split."""
    if len(text) <= SAMPLE:
        return text
    return text[:SAMPLE].rpartition(b"\n")[0] or text[:SAMPLE]


def find_mark(stream: BinaryIO) -> str | None:
    """The encoding that a seekable `stream` says by its mark, or shows by its zeros; None for neither."""
    stream.seek(0)
    head = stream.read(4)
    for mark, encoding in MARKS:
        if head.startswith(mark):
            return encoding
    if len(head) < 2 or (head[0] == 0) == (head[1] == 0):
        return None
    return "utf-16-be" if head[0] == 0 else "utf-16-le"


@dataclass
class _Fault:
    """The first byte that is invalid in an encoding."""

    line: int
    byte: int
    rest: bytes  # from the first non-ASCII byte on, about a million
    before: bytes  # the character before these
    is_utf8: bool  # one bad byte among good ones

    def refusal(self, encoding: str, advice: str = "save the file as UTF-8") -> BadInput:
        name = encoding.removesuffix("-sig").upper()
        return BadInput(f"line {self.line}: byte 0x{self.byte:02x} is not {name}: {advice}")


def _find_fault(stream: BinaryIO, encoding: str) -> _Fault | None:
    decoder = codecs.getincrementaldecoder(encoding)()
    line, is_ascii = 1, True
    stream.seek(0)
    piece = b"-"
    while piece:
        piece = stream.read(HEAD)
        try:
            text = decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            before = error.object[: error.start]
            last, rest = _beyond_ascii(error.object + stream.read(SAMPLE))
            good = not is_ascii or _is_mostly_utf8(rest)
            return _Fault(line + before.count(b"\n"), error.object[error.start], rest, last, good)
        line += text.count("\n")
        is_ascii = is_ascii and text.isascii()
    return None


def _beyond_ascii(text: bytes) -> tuple[bytes, bytes]:
    """The last character before the first one that is not ASCII, and the text from that on."""
    first = re.search(rb"[\x80-\xff]", text)
    start = first.start() if first else len(text)
    return text[max(0, start - 1) : start], text[start:]


def _is_mostly_utf8(text: bytes) -> bool:
    """Whether at least half of the non-ASCII characters are plausible."""
    read = re.sub(r"[\0-\x7f]+", "", text.decode(errors="replace"))
    return 2 * read.count("\ufffd") <= len(read)
