"""What Parquet and ODS cost: processor time and memory, of the process itself and of its helper."""

import argparse
import resource
import statistics
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from app.core.reading.csv_export import Row, result_cells
from app.core.reading.files import parquet_export
from app.core.reading.files.parquet_export import Column, ParquetFile
from app.ingest.tables import read_rows

COLUMNS = ["id", "review"]
OASIS = "urn:oasis:names:tc:opendocument:xmlns"
TYPE = "application/vnd.oasis.opendocument.spreadsheet"


def results(count: int) -> Iterator[Row]:
    for number in range(count):
        cells = {"id": number, "review": review(number)}
        yield Row(cells, f"Mixed, as row {number} has it.", "succeeded", None, 120, 34, "0.000027")


def review(number: int) -> str:
    return f"The review of row {number}, neither short nor long: all is well."


def make(folder: Path, rows: int) -> None:
    """The files that are read; by this process alone, so that the others begin without what it takes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"id": range(rows), "review": [review(number) for number in range(rows)]})
    pq.write_table(table, folder / "sheet.parquet")
    lines = "".join(
        f'<table:table-row><table:table-cell office:value-type="float" office:value="{number}"/>'
        f'<table:table-cell office:value-type="string"><text:p>{review(number)}</text:p></table:table-cell>'
        "</table:table-row>"
        for number in range(rows)
    )
    with zipfile.ZipFile(folder / "sheet.ods", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", TYPE, zipfile.ZIP_STORED)
        archive.writestr(
            "content.xml",
            f'<office:document-content xmlns:office="{OASIS}:office:1.0" xmlns:table="{OASIS}:table:1.0"'
            f' xmlns:text="{OASIS}:text:1.0" office:version="1.2"><office:body><office:spreadsheet>'
            f'<table:table table:name="S"><table:table-column/>{lines}</table:table>'
            "</office:spreadsheet></office:body></office:document-content>",
        )
        archive.writestr(
            "META-INF/manifest.xml",
            f'<manifest:manifest xmlns:manifest="{OASIS}:manifest:1.0"><manifest:file-entry'
            f' manifest:full-path="/" manifest:media-type="{TYPE}"/></manifest:manifest>',
        )


def read_ods(folder: Path, rows: int) -> None:
    _read("ods", folder / "sheet.ods", rows)


def read_parquet(folder: Path, rows: int) -> None:
    _read("parquet", folder / "sheet.parquet", rows)


def _read(format: str, path: Path, rows: int) -> None:
    with path.open("rb") as file:
        assert sum(1 for _ in read_rows(format, file).rows) >= rows


def write_parquet(folder: Path, rows: int) -> None:
    """A new file with the results."""
    columns = [Column("id", "integer"), Column("review", "text"), *parquet_export.answer_columns(COLUMNS)]
    _write(ParquetFile(columns).rows(parquet_export.own_cells(COLUMNS, row) for row in results(rows)))


def fill_parquet(folder: Path, rows: int) -> None:
    """The results beside the file's own columns."""
    with (folder / "sheet.parquet").open("rb") as file:
        made = ParquetFile(parquet_export.answer_columns(COLUMNS), file)
        _write(made.beside((number, result_cells(row)) for number, row in enumerate(results(rows))))


def _write(chunks: Iterator[bytes]) -> None:
    assert sum(map(len, chunks)) > 0


def cost(work: Callable[[Path, int], None], folder: Path, rows: int) -> tuple[float, float, float]:
    """Seconds of both processes, megabytes that this one grew by, and the most that the helper had."""
    work(folder / "small", 1)  # imports are not what is measured
    before, began = _most(), _seconds()
    work(folder, rows)
    return (
        _seconds() - began,
        _most() - before,
        resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1_000,
    )


def _seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + used.ru_utime + used.ru_stime


def _most() -> float:
    """Megabytes."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1_000


def measure(work: Callable[[Path, int], None], folder: Path, rows: int, rounds: int) -> None:
    costs = []
    for _ in range(rounds):
        with ProcessPoolExecutor(1, get_context("spawn")) as process:  # only a new one has its own peak
            costs.append(process.submit(cost, work, folder, rows).result())
    seconds, grown, helper = (statistics.median(figures) for figures in zip(*costs, strict=True))
    print(
        f"{work.__name__} {rows:,} rows: {seconds:.2f} s of the processor, {grown:.0f} MB more memory here,"
        f" {helper:.0f} MB in the helper",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, asked.rows)
        small = folder / "small"
        small.mkdir()
        make(small, 1)
        for path in sorted(folder.glob("sheet.*")):
            print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
        for work in (read_ods, read_parquet, write_parquet, fill_parquet):
            measure(work, folder, asked.rows, asked.rounds)


if __name__ == "__main__":
    main()
