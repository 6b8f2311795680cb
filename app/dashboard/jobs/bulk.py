"""One action on many jobs: a page that says what it will touch, and what is then done."""

import datetime as dt
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from flask import Response, request

from app.core.accounts.api_keys import WRITE
from app.core.money import pricing
from app.dashboard.blueprint import done, page
from app.dashboard.filters import plural, sentence
from app.dashboard.jobs.listing import blp
from app.dashboard.jobs.shown import Shown
from app.errors import BadInput
from app.services import bulk_actions
from app.services.bulk_actions import MOST, Action, Outcome, Plan
from app.web import capacity
from app.web.auth import caller, needs
from models.session import reading

WAS_DONE: Mapping[Action, str] = {
    Action.CANCEL: "cancelled",
    Action.RETRY: "started again",
    Action.DELETE: "deleted",
}
TOLD = 3  # reasons in a notice


@blp.post("/jobs/plan")
@needs(WRITE)
def plan_action() -> Response:
    """What the action would touch of the jobs that were chosen, or of all that the list shows."""
    shown, action = Shown.read(request.form), _action()
    chosen = _ids(request.form.getlist("job"))
    with reading() as session:
        if "all" in request.form:
            plan = bulk_actions.plan_all(session, caller().tenant_id, action, shown.query)
        else:
            plan = bulk_actions.plan(session, caller().tenant_id, action, chosen)
    return page("jobs/plan.html", title=_question(plan), shown=shown, plan=plan, **_money(plan), most=MOST)


@blp.post("/jobs/act")
@needs(WRITE)
def act() -> Response:
    """Do what was planned, to the jobs that it named."""
    shown, action = Shown.read(request.form), _action()
    planned, at = _ids(request.form.get("jobs", "").split()), _planned_at()
    seat = capacity.take_seat()  # a thousand jobs take some seconds
    try:
        outcome = bulk_actions.carry_out(caller().tenant_id, action, planned, at)
    finally:
        seat.give_back()
    return done("dashboard.jobs.show_jobs", _told(outcome), **shown.fields)


def _action() -> Action:
    try:
        return Action(request.form.get("action", ""))
    except ValueError:
        raise BadInput(f"choose what is to be done: {', '.join(Action)}") from None


def _ids(texts: Sequence[str]) -> list[uuid.UUID]:
    try:
        return [uuid.UUID(text) for text in texts]
    except ValueError:
        raise BadInput("the form names a job that has no id: go back to the list and choose again") from None


def _planned_at() -> dt.datetime:
    try:
        at = dt.datetime.fromisoformat(request.form.get("at", ""))
        return at.astimezone(dt.UTC)
    except (ValueError, OverflowError):
        raise BadInput("the form does not say when it was made: go back to the list, choose again") from None


def _question(plan: Plan) -> str:
    if not plan.touched:
        return f"Nothing to {plan.action}"
    return f"{plan.action.capitalize()} {plural(len(plan.touched), 'job')}?"


def _money(plan: Plan) -> dict[str, Any]:
    return {
        "cost": pricing.dollars(plan.cost),
        "cost_unconfirmed": pricing.dollars(plan.cost_unconfirmed) if plan.cost_unconfirmed else None,
        "may_cost": None if plan.may_cost is None else pricing.dollars(plan.may_cost),
    }


def _told(outcome: Outcome) -> str:
    """What was done, what was not and why, and what a retry left as it is."""
    count = len(outcome.done)
    told = [f"{plural(count, 'job')} {'was' if count == 1 else 'were'} {WAS_DONE[outcome.action]}."]
    if others := len(outcome.refused):
        were_left = "was left as it was" if others == 1 else "were left as they were"
        told.append(f"{plural(others, 'other')} {were_left}, having changed meanwhile:")
        reasons = Counter(map(sentence, outcome.refused.values())).most_common()
        told += [f"{reason} ({count:,})" for reason, count in reasons[:TOLD]]
    if left := outcome.left:
        ends = ", ".join(f"{count:,} {word}" for word, count in left.most_common(TOLD))
        told.append(f"Not asked again, as they would end in the same way: {ends}.")
    return " ".join(told)
