"""Foreign code in a process of its own: bounded, replaceable, and without what is ours."""

import io
import os
from pathlib import Path

import psutil
import pytest

from app.errors import BadInput, TooLarge
from app.ingest.apart import documents
from app.ingest.apart.documents import DocumentReader
from app.ingest.apart.helper import Bounds
from app.ingest.tables import read_rows
from tests.support.documents import docx, pdf
from tests.support.other_sheets import ods, ods_of, parquet_of


def test_a_package_that_is_missing_is_named_with_the_extra_that_brings_it(monkeypatch, tmp_path):
    # Given a machine without pyarrow
    missing = "raise ModuleNotFoundError(\"No module named 'pyarrow'\", name='pyarrow')\n"
    (tmp_path / "pyarrow.py").write_text(missing)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{Path.cwd()}")

    with pytest.raises(BadInput, match=r"pip install 'penstock\[parquet\]'"):
        read_rows("parquet", io.BytesIO(parquet_of({"a": [1]})))


def test_a_file_that_takes_too_much_ends_its_helper_and_says_so():
    cell = (
        '<table:table-cell table:number-columns-repeated="100" office:value-type="float" office:value="1"/>'
    )
    many = f'<table:table-row table:number-rows-repeated="900000">{cell}</table:table-row>'
    bomb = ods_of(f'<table:table table:name="S"><table:table-column/>{many}</table:table>')

    with pytest.raises(BadInput, match="cannot be read as ODS: it takes more memory or time"):
        read_rows("ods", io.BytesIO(bomb))
    assert _children() == []


def test_a_table_that_is_read_in_part_leaves_nothing_behind():
    source = read_rows("ods", io.BytesIO(ods([["a"], *([number] for number in range(9_000))])))
    rows = iter(source.rows)
    assert next(rows).cells == ["a"]
    assert len(_children()) == 1

    rows.close()

    assert _children() == []


def test_a_document_that_ends_its_helper_is_not_the_next_ones_fault(monkeypatch):
    monkeypatch.setattr(documents, "BOUNDS", Bounds(300_000_000, 10, each=True))
    with DocumentReader() as reader:
        huge = reader.read("html", io.BytesIO(b"<html>" + b"word " * 20_000_000))
        fine = reader.read("docx", io.BytesIO(docx("Good")))
        pages = reader.read("pdf", io.BytesIO(pdf(2)))

    assert "more memory or time" in huge.fault
    assert (fine.text, pages.pages) == ("Good", 2)


def test_documents_that_take_too_long_together_are_refused(monkeypatch):
    monkeypatch.setattr(documents, "FREE_SECONDS", 0.0)
    with DocumentReader() as reader:
        reader.read("pdf", io.BytesIO(pdf(1)))
        with pytest.raises(TooLarge, match="send fewer"):
            reader.read("pdf", io.BytesIO(pdf(1)))


def _children() -> list[int]:
    """The helpers of this process."""
    return [one.pid for one in psutil.Process().children() if "app.ingest.apart.main" in one.cmdline()]
