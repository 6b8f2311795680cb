"""The provider's limits: what each group may do and does, whom it keeps waiting, and why it is held."""

from flask import Blueprint, Response, request

from app.core.accounts.api_keys import LIMITS, OPERATOR
from app.core.limits import report
from app.dashboard import typed
from app.dashboard.blueprint import done, is_htmx, page
from app.errors import BadInput
from app.services import limits
from app.web.auth import caller, needs

blp = Blueprint("limits", __name__)

NAMES = {
    "requests_per_minute": "Requests a minute",
    "input_tokens_per_minute": "Input tokens a minute",
    "output_tokens_per_minute": "Output tokens a minute",
    "max_concurrent_calls": "Calls in flight",
}
# What of a group's use is measured against each.
USED = {
    "requests_per_minute": "requests",
    "input_tokens_per_minute": "input_tokens",
    "output_tokens_per_minute": "output_tokens",
    "max_concurrent_calls": "calls_in_flight",
}
SOURCES = {
    "set": "set by an operator",
    "configured": "configured where Penstock runs",
    "learned": "learned from the provider's answers",
    "assumed": "assumed until the provider says more",
}
HELD_BY = {
    "account": "The provider refuses the account",
    "provider": "The provider serves no calls now",
    "configuration": "A setting of the workers is missing or wrong",
}
SHOWN = 5  # waiting jobs


@blp.get("/limits")
@needs(LIMITS)
def show_limits() -> Response:
    """The groups in use; asked for by htmx, their panels alone.

    The page asks again every two seconds: nobody tells when a figure in Redis moves, and a stream would hold
    a thread for as long as somebody leaves the page open.
    """
    template = "limits/groups.html" if is_htmx() else "limits/list.html"
    return page(
        template,
        title="Limits",
        groups=limits.describe_all(caller()),
        names=NAMES,
        used=USED,
        sources=SOURCES,
        held_by=HELD_BY,
        most=SHOWN,
    )


@blp.get("/limits/<group>")
@needs(OPERATOR)
def edit_limits(group: str) -> Response:
    """The form of a group's figures."""
    return _form(group)


@blp.post("/limits/<group>")
@needs(OPERATOR)
def set_limits(group: str) -> Response:
    """Set all figures of a group; an empty one is the configured one again."""
    try:
        figures = {name: typed.whole(name, most) for name, most in report.HIGHEST.items()}
    except BadInput as error:
        return _form(group, error)
    limits.change(caller(), group, figures)
    return done("dashboard.limits.show_limits", f"{group} is set for all workers within a second.")


def _form(group: str, error: BadInput | None = None) -> Response:
    described, figures = limits.describe(caller(), group)
    return page(
        "limits/form.html",
        status=200 if error is None else error.status,
        title=f"Limits of {group}",
        group=described,
        values=figures if error is None else request.form,
        faults=typed.faults(error),
        names=NAMES,
        sources=SOURCES,
    )
