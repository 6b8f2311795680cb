"""What a workbook costs: the processor time and the memory that writing, reading and filling it take."""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

from app.core.reading.layout import Layout, Row
from app.core.reading.xlsx.export import xlsx_chunks
from app.core.reading.xlsx.own_workbook import workbook_chunks
from app.ingest.forms.workbook import find_workbook
from app.ingest.xlsx.rows import read_rows


def results(count: int) -> Iterator[Row]:
    """Rows of eight columns, two of them the input's."""
    for number in range(count):
        cells = {"id": number, "review": f"The review of row {number}, neither short nor long: all is well."}
        yield Row(cells, f"Mixed, as row {number} has it.", "succeeded", None, 120, 34, "0.000027")


def write(path: Path, rows: int) -> None:
    with path.open("wb") as file:
        for piece in xlsx_chunks(Layout(["id", "review"]), results(rows)):
            file.write(piece)


def fill(path: Path, rows: int) -> None:
    """Add the same results to the workbook of that many rows, beside its own columns."""
    with path.open("rb") as file, path.with_name("filled.xlsx").open("wb") as to:
        found = find_workbook(file, None, header_row=1)
        for piece in workbook_chunks(
            file, found, Layout(["id", "review"]), enumerate(results(rows), start=2)
        ):
            to.write(piece)


def read(path: Path, rows: int) -> None:
    with path.open("rb") as file:
        assert sum(1 for _ in read_rows(file).rows) == rows + 1


def cost(work: Callable[[Path, int], None], path: Path, rows: int) -> tuple[float, float]:
    """Seconds of the processor, and megabytes that the process grew by."""
    small = path.with_name("small.xlsx")
    write(small, 1)
    read(small, 1)  # imports are not what is measured
    fill(small, 1)
    before, began = _most(), time.process_time()
    work(path, rows)
    return time.process_time() - began, _most() - before


def _most() -> float:
    """Megabytes. `ru_maxrss` would begin at what the process that started this one had."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1_000


def measure(work: Callable[[Path, int], None], path: Path, rows: int, rounds: int) -> None:
    costs = []
    for _ in range(rounds):
        with ProcessPoolExecutor(1, get_context("spawn")) as process:  # only a new one has its own peak
            costs.append(process.submit(cost, work, path, rows).result())
    seconds, grown = (statistics.median(figures) for figures in zip(*costs, strict=True))
    print(
        f"{work.__name__} {rows:,} rows: {seconds:.2f} s of the processor, {grown:.0f} MB more memory,"
        f" a file of {path.stat().st_size / 1e6:.1f} MB",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    asked = parser.parse_args()
    with TemporaryDirectory() as folder:
        for work in (write, read, fill):
            measure(work, Path(folder, "sheet.xlsx"), asked.rows, asked.rounds)


if __name__ == "__main__":
    main()
