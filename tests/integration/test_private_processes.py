"""Processes that are started by hand, under an ordinary umask, write nothing that other users can read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import open_to_others

pytestmark = pytest.mark.one_database

SUBMITS = "from tests.support.front_door import Door; Door().submit(1)"  # in the web application
DOCUMENT = """
import io
from tasks.celery import app
app.conf.broker_url
from app.core.documents.open_store import store
store().put("raw/1/2", io.BytesIO(b"secret"))
"""  # as a worker stores it


@pytest.mark.parametrize("environment", ["sqlite"], indirect=True)
@pytest.mark.parametrize("script", [SUBMITS, DOCUMENT], ids=["web", "worker"])
def test_what_a_process_writes_is_for_its_user_alone(environment, script):
    # Given a database that was made under an ordinary umask, in an ordinary directory
    data = Path(environment["PENSTOCK_DATA"])
    data.chmod(0o755)
    (data / "penstock.db").chmod(0o644)

    # When
    ran = subprocess.run(
        [sys.executable, "-c", f"{script}\nprint(open({str(data / 'tmp-made')!r}, 'w').name)"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
        umask=0o022,
    )

    # Then
    assert ran.stdout.strip() == str(data / "tmp-made")
    assert open_to_others(data) == []
