"""A tenant's usage, from the ledger."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.api.blueprint import Blueprint
from app.api.request_schemas import UsageQuery
from app.api.response_schemas import UsagePage
from app.core.accounts import api_keys
from app.core.accounts.api_keys import READ
from app.core.json_text import timestamp
from app.core.money import pricing, unspent, usage
from app.core.money.unspent import Unspent
from app.core.money.usage import Sums
from app.core.reading.records import snapshot
from app.web import cursors
from app.web.auth import caller, needs

blp = Blueprint("usage", "Usage of your tenant.")


@blp.route("/usage", methods=["GET"])
@needs(READ)
@blp.arguments(UsageQuery, location="query")
@blp.response(200, UsagePage)
def get_usage(query: dict[str, Any]) -> dict[str, Any]:
    """Sum the tenant's calls by model, by day, by job or by user.

    A call counts at the moment it ended. Deleted jobs are included: their calls are kept. A user's calls are
    those of the jobs that its keys submitted.
    """
    group_by = query["group_by"]
    after = cursors.group_after(group_by, query["cursor"])
    with snapshot() as session:
        span = usage.span(session, query["since"], query["until"])
        found = usage.read(session, caller().tenant_id, group_by, span, after, query["limit"])
        saved = unspent.read(session, caller().tenant_id, span)
        users = [str(key) for key, _ in found.groups] if group_by == "user" else []
        keys = api_keys.names_by_user(session, caller().tenant_id, users) if users else {}
    return {
        "since": timestamp(span.since),
        "until": timestamp(span.until),
        "group_by": group_by,
        "data": [_group_out(group_by, str(key), keys) | _sums_out(sums) for key, sums in found.groups],
        "total": _sums_out(found.total) | {"saved": _saved_out(saved) | _cached_out(found.total)},
        "next_cursor": None if found.after is None else cursors.write(str(found.after)),
    }


def _group_out(group_by: str, key: str, keys: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    return {group_by: key} | ({"key_names": keys[key]} if key in keys else {})


def _sums_out(sums: Sums) -> dict[str, Any]:
    return {
        "calls": {"answered": sums.answered, "unconfirmed": sums.unconfirmed},
        "usage": dict(sums.tokens),
        "server_tool_uses": dict(sums.server_tool_uses),
        "cost": _dollars(sums.cost),
        "unpriced": sums.unpriced,
        "saved": _cached_out(sums),
        "cost_unconfirmed": _dollars(sums.cost_unconfirmed),
    }


def _cached_out(sums: Sums) -> dict[str, Any]:
    tokens, cost = sums.tokens["cache_read_tokens"], pricing.dollars(sums.cache_saved)
    return {"prompt_cache": {"tokens": tokens, "cost": cost}}


def _saved_out(saved: Unspent) -> dict[str, Any]:
    return {
        "dedupe": {"records": saved.copies, "cost": pricing.dollars(saved.copied_cost)},
        "reuse": {"records": saved.reused, "cost": pricing.dollars(saved.reused_cost)},
    }


def _dollars(pico: int | None) -> str | None:
    return None if pico is None else pricing.dollars(pico)
