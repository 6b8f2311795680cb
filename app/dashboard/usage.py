"""What a tenant has spent in a month: by day, model and key; and with all calls, for its bookkeeper."""

import datetime as dt
import re
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, request

from app.core.accounts import api_keys
from app.core.accounts.api_keys import READ
from app.core.money import pricing, spend, unspent
from app.core.money.spend import Days, Spent
from app.core.money.usage import Span
from app.core.reading import usage_export
from app.dashboard.blueprint import page
from app.errors import BadInput
from app.web import capacity
from app.web.auth import caller, needs
from models.session import reading

blp = Blueprint("usage", __name__)

LISTED = 20  # models, users
MONTH = re.compile(r"(2[0-9]{3})-(0[1-9]|1[0-2])")
# The chart, in its own units: a day is a column.
COLUMN, HEIGHT = 24, 120


@dataclass(frozen=True, slots=True)
class Bar:
    """A day of the chart; the height of what is unconfirmed stands on that of the cost."""

    day: dt.date
    x: int
    cost: str  # dollars
    unconfirmed: str
    height: float
    unconfirmed_height: float


@dataclass(frozen=True, slots=True)
class Line:
    """A model or a user with its share of the month."""

    name: str
    cost: str  # dollars
    unconfirmed: str
    permille: int
    keys: list[str]


@blp.get("/usage")
@needs(READ)
def show_usage() -> Response:
    """A month, by default the present one, from the narrow rows of spending: see `app.core.money.spend`."""
    me = caller()
    with reading() as session:
        today = spend.today(session)
        month = _month(today)
        by_day = spend.by_day(session, me.tenant_id, month)
        models = spend.largest(session, me.tenant_id, month, "model", LISTED)
        users = spend.largest(session, me.tenant_id, month, "user", LISTED)
        keys = api_keys.names_by_user(session, me.tenant_id, {str(user.key) for user in users})
        unpriced = spend.unpriced(session, me.tenant_id, month, LISTED)
        saved = unspent.read(session, me.tenant_id, _span(month))
    cost, unconfirmed = sum(each.cost for each in by_day), sum(each.unconfirmed for each in by_day)
    return page(
        "usage/month.html",
        title="Usage",
        month=month.first,
        earlier=month.first - dt.timedelta(days=1),
        later=None if month.last >= today else month.last + dt.timedelta(days=1),
        cost=pricing.dollars(cost),
        unconfirmed=pricing.dollars(unconfirmed) if unconfirmed else None,
        bars=_bars(month, by_day),
        highest=pricing.dollars(_highest(by_day)),
        column=COLUMN,
        height=HEIGHT,
        models=_lines(models, cost + unconfirmed),
        users=_lines(users, cost + unconfirmed, keys),
        rest=_rest(cost + unconfirmed, models, users),
        unpriced=unpriced,
        saved=saved,
    )


@blp.get("/usage.csv")
@needs(READ)
def download_usage() -> Response:
    """A row for each day, model and user of the month, summed from the ledger."""
    with reading() as session:
        month = _month(spend.today(session))
    name = f"penstock-usage-{month.first:%Y-%m}.csv"
    headers = {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Type": "text/csv; charset=utf-8",
        "Cache-Control": "no-store",
    }
    return capacity.stream(usage_export.csv(caller().tenant_id, _span(month)), None, headers)


def _month(today: dt.date) -> Days:
    asked = request.args.get("month")
    found = MONTH.fullmatch(asked) if asked else None
    if asked and found is None:
        raise BadInput(f"month: give one such as {today:%Y-%m}; found {asked[:20]!r}")
    first = dt.date(int(found[1]), int(found[2]), 1) if found else today.replace(day=1)
    return Days(first, (first + dt.timedelta(days=31)).replace(day=1) - dt.timedelta(days=1))


def _span(month: Days) -> Span:
    start, last = (dt.datetime.combine(day, dt.time(), dt.UTC) for day in (month.first, month.last))
    return Span(start, last + dt.timedelta(days=1))


def _bars(month: Days, by_day: list[Spent]) -> list[Bar]:
    """A bar for each day of the month, also for those without any calls."""
    found: dict[Any, Spent] = {each.key: each for each in by_day}
    highest = _highest(by_day)
    bars = []
    for number in range(month.last.day):
        day = month.first + dt.timedelta(days=number)
        spent = found.get(day, Spent(day, 0, 0))
        bars.append(
            Bar(
                day,
                number * COLUMN,
                pricing.dollars(spent.cost),
                pricing.dollars(spent.unconfirmed),
                _height(spent.cost, highest),
                _height(spent.unconfirmed, highest),
            )
        )
    return bars


def _highest(by_day: list[Spent]) -> int:
    return max((each.cost + each.unconfirmed for each in by_day), default=0)


def _height(part: int, highest: int) -> float:
    return round(HEIGHT * part / highest, 2) if highest else 0.0


def _lines(found: list[Spent], total: int, keys: Any = None) -> list[Line]:
    return [
        Line(
            name=str(each.key),
            cost=pricing.dollars(each.cost),
            unconfirmed=pricing.dollars(each.unconfirmed) if each.unconfirmed else "",
            permille=1000 * (each.cost + each.unconfirmed) // total if total else 0,
            keys=[] if keys is None else keys[str(each.key)],
        )
        for each in found
    ]


def _rest(total: int, *lists: list[Spent]) -> list[str | None]:
    """What those cost that are beyond the end of each list; None: there are none."""
    rest = [total - sum(each.cost + each.unconfirmed for each in found) for found in lists]
    return [
        pricing.dollars(left) if len(found) == LISTED and left else None
        for left, found in zip(rest, lists, strict=True)
    ]
