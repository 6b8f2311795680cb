"""The provider's limits: what holds, what is used, who waits; and changing them for all workers at once."""

from functools import partial
from typing import Any

from flask import Response

from app.api.blueprint import Blueprint, answer
from app.api.request_schemas import LimitsIn
from app.api.response_schemas import LimitGroupOut, LimitList
from app.core.accounts.api_keys import LIMITS, READ
from app.core.limits import report
from app.web.auth import caller, needs
from models.session import in_transaction, reading

blp = Blueprint("limits", "What the providers allow, over all workers together.")


@blp.route("/limits", methods=["GET"])
@needs(READ)
@blp.response(200, LimitList)
def list_limits() -> Response:
    """List the limit groups in use."""
    with reading() as session:
        return answer({"data": report.shown(session, caller().tenant_id)})


@blp.route("/limits/<group>", methods=["PUT"])
@needs(LIMITS, 404)
@blp.arguments(LimitsIn)
@blp.response(200, LimitGroupOut)
def put_limits(figures: dict[str, Any], group: str) -> Response:
    """Set a group's figures, for all workers within a second.

    null leaves a figure to the configuration again. What the provider's answers tell may still lower it.
    """
    in_transaction(partial(report.change, name=group, figures=figures))
    with reading() as session:
        return answer(report.show(session, caller().tenant_id, group))
