"""A run that is interrupted says what becomes of its job, however impatient the person is."""

from http import HTTPStatus

import pytest

from app.cli.client import Job, Rest
from app.cli.order import Order
from app.cli.session import Session, Wishes
from app.errors import StackRefused


class Interrupted(Rest):
    """Ctrl-C comes again while the stack is asked."""

    def job(self, job_id: str) -> Job:
        raise KeyboardInterrupt


def test_a_second_ctrl_c_at_once_does_not_keep_back_what_becomes_of_the_job(tmp_path, capsys):
    session = Session(Order(tmp_path / "notes.csv", tmp_path / "out.csv"), Wishes())
    with Interrupted("http://127.0.0.1:1", "key") as rest, pytest.raises(KeyboardInterrupt):
        session._leave(rest, {"id": "j1"})
    assert "penstock jobs cancel j1" in " ".join(capsys.readouterr().err.split())


class Ended(Rest):
    """An equal command's job ends between the look at it and the request to go on with it."""

    def act(self, job_id: str, action: str) -> Job:
        raise StackRefused(HTTPStatus.CONFLICT, {"message": "The job is completed."})

    def job(self, job_id: str) -> Job:
        return {"id": job_id, "status": "completed"}


def test_a_job_that_has_ended_since_it_was_looked_at_is_taken_as_it_is(tmp_path):
    session = Session(Order(tmp_path / "notes.csv", tmp_path / "out.csv"), Wishes())
    counts = {"succeeded": 2, "failed": 0, "cancelled": 0, "expired": 0}
    seen = {"id": "j1", "status": "running", "counts": counts, "total": 3}
    with Ended("http://127.0.0.1:1", "key") as rest:
        assert session._take_up(rest, seen) == {"id": "j1", "status": "completed"}
