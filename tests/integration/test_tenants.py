"""`penstock tenants`: quotas and caps, set and shown by their operator."""

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from app.cli import cli
from app.core.money import spend
from app.errors import NotFound
from models import Tenant
from models.session import in_transaction, reading
from tests.support.front_door import Door

pytestmark = pytest.mark.one_database


def run(*arguments: str):
    return CliRunner().invoke(cli, ["tenants", *arguments], catch_exceptions=True)


def test_quotas_and_caps_are_set_shown_and_taken_away(environment):
    door = Door()
    in_transaction(
        lambda session: spend.move(
            session, 1, door.tenant_id, cost=1_500_000_000_000, unconfirmed=80_000_000_000
        )
    )

    assert run("set", "acme", "--daily-cap", "2.50", "--records-per-hour", "100").exit_code == 0
    shown = run("list").stdout
    assert [" ".join(line.split()) for line in shown.splitlines()] == [
        "tenant records/hour records/day bytes/hour bytes/day spent today unconfirmed daily cap this month"
        " unconfirmed monthly cap",
        "acme 100 $1.50 $0.08 $2.50 $1.50 $0.08",
    ]
    assert "100" in shown
    assert run("set", "acme", "--bytes-per-day", "5000000").exit_code == 0
    assert "5000000" in run("list").stdout
    assert run("set", "acme", "--daily-cap", "none").exit_code == 0
    with reading() as session:
        tenant = session.scalars(select(Tenant)).one()
    assert (tenant.daily_cap, tenant.monthly_cap, tenant.records_per_hour) == (None, None, 100)


@pytest.mark.parametrize(
    "arguments",
    [
        ["acme"],
        ["acme", "--daily-cap", "much"],
        ["acme", "--daily-cap", "-1"],
        ["acme", "--records-per-day", "0"],
    ],
)
def test_what_says_nothing_or_nonsense_is_refused(environment, arguments):
    Door()
    assert run("set", *arguments).exit_code == 2


def test_an_unknown_tenant_is_named(environment):
    found = run("set", "nobody", "--records-per-day", "5").exception
    assert isinstance(found, NotFound)
    assert "nobody" in str(found)
