"""Rules of the house that a reader could break without noticing."""

import ast
import re
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

import celeryconfig
from models import Base, JobStatus, RecordStatus, migrate
from models.job import FINAL
from models.record import ENDED
from models.session import engine
from models.transitions import JOB_MOVES, RECORD_MOVES
from tasks.celery import app
from tests.support.celery_nodes import ControlWorker, SliceWorker

PROJECT = Path(__file__).parent.parent.parent
OURS = [path for folder in ("app", "tasks", "models") for path in (PROJECT / folder).rglob("*.py")]


def test_each_task_has_a_queue_that_a_worker_watches():
    app.loader.import_default_modules()
    watched = {SliceWorker.queue, ControlWorker.queue}
    ours = [name for name in app.tasks if name.startswith("penstock.")]

    assert len(ours) >= 5
    for name in ours:
        route = app.amqp.router.route({}, name)
        assert route["queue"].name in watched
    for entry in celeryconfig.beat_schedule.values():
        assert entry["task"] in ours


def test_each_status_has_an_exit_or_is_final():
    for status in JobStatus:
        assert JOB_MOVES[status], status
    for status in RecordStatus:
        assert RECORD_MOVES[status] or status in ENDED, status
    reachable = set().union(*JOB_MOVES.values())
    assert reachable == set(JobStatus) - {JobStatus.STAGING}
    assert reachable >= FINAL


def test_a_status_is_written_in_one_module_only():
    """An assignment to `.status`, or `status=` in a `values(…)`, stands nowhere but in transitions."""
    found = []
    for path in OURS:
        if path.name == "transitions.py" or "migrations" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Assign) and any(_is_row_status(target) for target in node.targets):
                found.append(f"{path}:{node.lineno}")
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "values":
                found += [f"{path}:{node.lineno}" for keyword in node.keywords if keyword.arg == "status"]
    assert found == []


def test_no_status_of_a_job_changes_without_its_time_being_kept():
    movers = {
        str(path.relative_to(PROJECT))
        for path in OURS
        if re.search(r"transitions(\.move_job| import [^\n]*\bmove_job)", path.read_text())
    }
    assert movers == {"app/core/timeline/clock.py"}


def test_migrations_have_one_head_and_match_the_models(environment):
    assert len(ScriptDirectory(str(migrate.HERE)).get_heads()) == 1
    assert migrate.why_not_current(engine()) is None
    with engine().connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_workers_and_the_web_do_not_import_what_is_not_theirs():
    """Checked in processes of their own: an import anywhere on the way counts."""
    import subprocess
    import sys

    for imported, forbidden in (
        ("tasks.celery, tasks.sweep, app.dialects.analyze.files", {"flask", "anthropic"}),
        ("app.factory", {"anthropic", "tasks.slice"}),
        ("app.cli", {"sqlalchemy"}),
    ):
        code = f"import sys, {imported}; print(*{forbidden} & set(sys.modules))"
        ended = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, check=True)
        assert ended.stdout.split() == [], f"of what {imported} may not import"


def _is_row_status(target: ast.expr) -> bool:
    return (
        isinstance(target, ast.Attribute)
        and target.attr == "status"
        and isinstance(target.value, ast.Name)
        and target.value.id in {"job", "record"}
    )
