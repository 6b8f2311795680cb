"""The spool: drafts come back as they went in, in chunks, and leave no file."""

import pytest

from app.errors import TooLarge
from app.ingest.draft import Draft
from app.ingest.spool import CHUNK_BYTES, CHUNK_DRAFTS, LARGER, DraftSpool
from config import settings


def draft(number: int, size: int = 10) -> Draft:
    return Draft(
        b"x" * size, size + number, f"id {number}", "c\ud83d" if number % 2 else None, number or None
    )


def test_drafts_come_back_in_order_as_often_as_asked(tmp_path):
    # Given more drafts than fit one chunk
    drafts = [draft(number) for number in range(2 * CHUNK_DRAFTS + 5)]
    with DraftSpool(tmp_path) as spool:
        for one in drafts:
            spool.add(one)

        # Then each pass brings all of them, in chunks that a transaction can take
        for _ in range(2):
            chunks = list(spool.chunks())
            assert [one for chunk in chunks for one in chunk] == drafts
            assert [len(chunk) for chunk in chunks] == [CHUNK_DRAFTS, CHUNK_DRAFTS, 5]


def test_a_pass_that_was_left_does_not_disturb_the_next(tmp_path):
    with DraftSpool(tmp_path) as spool:
        for number in range(3 * CHUNK_DRAFTS):
            spool.add(draft(number))
        left = spool.chunks()
        next(left)

        assert sum(map(len, spool.chunks())) == 3 * CHUNK_DRAFTS
        assert sum(map(len, left)) == 2 * CHUNK_DRAFTS


def test_large_drafts_make_small_chunks(tmp_path):
    with DraftSpool(tmp_path) as spool:
        for number in range(5):
            spool.add(draft(number, CHUNK_BYTES // 2))

        assert [len(chunk) for chunk in spool.chunks()] == [2, 2, 1]


def test_the_spool_knows_its_sizes_before_anything_is_read_back(tmp_path):
    with DraftSpool(tmp_path) as spool:
        spool.add(draft(1, 100))
        spool.add(draft(7, 30))

        assert (spool.count, spool.bytes, spool.max_request_bytes) == (2, 130, 101)


def test_an_empty_spool_has_no_chunks(tmp_path):
    with DraftSpool(tmp_path) as spool:
        assert list(spool.chunks()) == []


def test_no_file_is_ever_seen(tmp_path):
    with DraftSpool(tmp_path) as spool:
        for number in range(CHUNK_DRAFTS):
            spool.add(draft(number))

        assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="closed"):
        list(spool.chunks())


def test_a_small_file_that_makes_large_records_is_refused(tmp_path, monkeypatch):
    # Given a place that takes uploads of 1,000 bytes
    monkeypatch.setenv("MAX_UPLOAD_BYTES", "1000")
    settings.current.cache_clear()

    # When the rows of one come to more than four times that, each with the names of all columns
    try:
        with DraftSpool(tmp_path) as spool:
            spool.add(draft(0, LARGER * 1_000))

            # Then the next one is refused
            with pytest.raises(TooLarge, match="4,000 bytes"):
                spool.add(draft(1, 1))
    finally:
        settings.current.cache_clear()
