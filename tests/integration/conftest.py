"""Fixtures of the tests that need real servers."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from models import session
from tests.support.stack import Stack, Unstarted


@contextmanager
def _hearing(note: Callable[..., None]) -> Iterator[None]:
    """Call `note(connection, cursor, statement, values, context, many)` for all that this process sends."""
    event.listen(session.engine(), "before_cursor_execute", note)
    try:
        yield
    finally:
        event.remove(session.engine(), "before_cursor_execute", note)


@pytest.fixture
def hearing(environment: dict[str, str]) -> Callable[[Callable[..., None]], AbstractContextManager[None]]:
    """See `_hearing`."""
    return _hearing


@pytest.fixture
def statements(environment: dict[str, str]) -> Callable[[], AbstractContextManager[list[str]]]:
    """Notes every statement that this process sends within a block."""

    @contextmanager
    def noting() -> Iterator[list[str]]:
        sent: list[str] = []
        with _hearing(lambda _, __, statement, *___: sent.append(statement)):
            yield sent

    return noting


@pytest.fixture
def statements_with_values(
    environment: dict[str, str],
) -> Callable[[], AbstractContextManager[dict[str, Any]]]:
    """Notes each query and change of this process within a block, with the values of its last time."""

    def note(sent: dict[str, Any], statement: str, values: Any, many: bool) -> None:
        if statement.split(None, 1)[0] in {"SELECT", "UPDATE", "DELETE", "INSERT", "WITH"}:
            sent[statement] = values[0] if many else values

    @contextmanager
    def noting() -> Iterator[dict[str, Any]]:
        sent: dict[str, Any] = {}
        with _hearing(lambda _, __, statement, values, ___, many: note(sent, statement, values, many)):
            yield sent

    return noting


@pytest.fixture
def quiet(environment: dict[str, str], tmp_path: Path) -> Stack:
    """A stack without workers, whose submission opens no job: a test holds every step."""
    return Unstarted(environment, tmp_path)
