"""Fixtures of the tests that need real servers."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from sqlalchemy import event

from models import session
from tests.stack import Stack


@pytest.fixture
def statements(environment: dict[str, str]) -> Callable[[], AbstractContextManager[list[str]]]:
    """Notes every statement that this process sends within a block."""

    @contextmanager
    def noting() -> Iterator[list[str]]:
        sent: list[str] = []

        def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            sent.append(statement)

        event.listen(session.engine(), "before_cursor_execute", note)
        try:
            yield sent
        finally:
            event.remove(session.engine(), "before_cursor_execute", note)

    return noting


@pytest.fixture
def quiet(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """A stack without workers, whose submission opens no job: a test holds every step."""
    monkeypatch.setattr("app.submission.start", lambda job_id: None)
    return stack
