"""A run that is interrupted says what becomes of its job, however impatient the person is."""

import pytest

from app.cli.client import Job, Rest
from app.cli.order import Order
from app.cli.session import Session, Wishes


class Interrupted(Rest):
    """Ctrl-C comes again while the stack is asked."""

    def job(self, job_id: str) -> Job:
        raise KeyboardInterrupt


def test_a_second_ctrl_c_at_once_does_not_keep_back_what_becomes_of_the_job(tmp_path, capsys):
    session = Session(Order(tmp_path / "notes.csv", tmp_path / "out.csv"), Wishes())
    with Interrupted("http://127.0.0.1:1", "key") as rest, pytest.raises(KeyboardInterrupt):
        session._leave(rest, {"id": "j1"})
    assert "penstock jobs cancel j1" in " ".join(capsys.readouterr().err.split())
