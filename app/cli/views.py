"""The display of a running job: a live bar on a terminal, a plain line now and then elsewhere."""

import time
from collections import deque
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from app.cli import words
from app.cli.client import Job

LOOKS_BACK = 20.0  # seconds over which the rate is measured
EVERY = 5.0  # seconds between two plain lines


class View(Protocol):
    """Shows a job again and again, until the block ends."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def show(self, job: Job) -> None: ...


def view(console: Console, name: str) -> View:
    return LiveView(console, name) if console.is_terminal else PlainView(console, name)


class Pace:
    """Records per second, over the last updates."""

    def __init__(self) -> None:
        self._looks: deque[tuple[float, int]] = deque()

    def note(self, ended: int) -> None:
        now = time.monotonic()
        self._looks.append((now, ended))
        while len(self._looks) > 2 and self._looks[1][0] < now - LOOKS_BACK:
            self._looks.popleft()

    @property
    def rate(self) -> float:
        """Up to now, so that it falls while nothing ends."""
        if not self._looks:
            return 0.0
        (then, before), (_, ended) = self._looks[0], self._looks[-1]
        return (ended - before) / max(time.monotonic() - then, 0.5)


class LiveView:
    """Two lines that are updated in place."""

    def __init__(self, console: Console, name: str) -> None:
        self._name = name
        self._job: Job | None = None
        self._pace = Pace()
        self._live = Live(console=console, get_renderable=self._draw, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)

    def show(self, job: Job) -> None:
        self._job = job
        self._pace.note(words.ended(job))

    def _draw(self) -> Any:
        if self._job is None:
            return Text("")
        return Group(self._bar(self._job), Text("  ").append_text(words.state(self._job, self._pace.rate)))

    def _bar(self, job: Job) -> Table:
        ended, total = words.ended(job), job["total"]
        line = Table.grid(padding=(0, 1), expand=True)
        line.add_column(no_wrap=True, overflow="ellipsis", max_width=32)
        line.add_column(ratio=1)
        line.add_column(justify="right", no_wrap=True)
        share = f"{ended / total:4.0%}" if total else ""
        line.add_row(
            Text(self._name, style="bold"), ProgressBar(total, ended), f"{ended:,}/{total:,} {share}"
        )
        return line


class PlainView:
    """A line every few seconds, and a last one."""

    def __init__(self, console: Console, name: str) -> None:
        self._console, self._name = console, name
        self._pace = Pace()
        self._told_at = 0.0
        self._job: Job | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._job is not None:
            self._tell(self._job)

    def show(self, job: Job) -> None:
        self._pace.note(words.ended(job))
        if time.monotonic() - self._told_at < EVERY:
            self._job = job
            return
        self._tell(job)

    def _tell(self, job: Job) -> None:
        line = (
            f"{self._name}  {words.ended(job):,}/{job['total']:,}  {words.state(job, self._pace.rate).plain}"
        )
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        self._told_at, self._job = time.monotonic(), None
