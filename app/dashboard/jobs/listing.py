"""The list of jobs, which is live while somebody looks at it."""

from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, request

from app.core.accounts.api_keys import READ
from app.core.reading.job_list import listing
from app.core.reading.job_list.listing import JobPage, Tally
from app.core.reading.job_list.watch import Change, watch
from app.dashboard import live
from app.dashboard.blueprint import fragment, page
from app.dashboard.jobs import rows
from app.dashboard.jobs.shown import PAGE, Shown
from app.dashboard.live import Region
from app.services.bulk_actions import MOST
from app.web.auth import caller, needs
from models.session import reading

blp = Blueprint("jobs", __name__)


@blp.get("/jobs")
@needs(READ)
def show_jobs() -> Response:
    """The tenant's jobs, newest first, by status and search."""
    shown, tenant_id = Shown.read(request.args), caller().tenant_id
    with reading() as session:
        found = listing.page(session, tenant_id, shown.query, shown.before, PAGE)
        tally = listing.tally(session, tenant_id, shown.query.text)
    return page("jobs/list.html", title="Jobs", **_of_page(shown, found), **_of_tally(shown, tally))


@blp.get("/jobs/live")
@needs(READ)
def stream_jobs() -> Response:
    """What changes in the list, from a whole one on."""
    shown, tenant_id = Shown.read(request.args), caller().tenant_id
    changes = watch(tenant_id, shown.query, shown.before, PAGE, live.pace)
    return live.stream(_regions(shown, changes))


def _regions(shown: Shown, changes: Iterator[Change]) -> Iterator[Region]:
    """The parts of the page that have changed, each of which is put where its element is."""
    for change in changes:
        parts = []
        if change.tally is not None:
            parts.append(fragment("jobs/new_counts.html", **_of_tally(shown, change.tally)))
        if change.page is not None:
            parts.append(fragment("jobs/new_page.html", **_of_page(shown, change.page)))
        if change.rows:
            parts.append(fragment("jobs/new_rows.html", rows=rows.of(change.rows)))
        yield Region("".join(parts) or None)


def _of_page(shown: Shown, found: JobPage) -> dict[str, Any]:
    return {
        "shown": shown,
        "rows": rows.of(found.jobs),
        "older": None if found.older is None else shown.from_before(found.older).url,
        "newest": None if shown.before is None else shown.from_before(None).url,
        "span": listing.SPAN,
    }


def _of_tally(shown: Shown, tally: Tally) -> dict[str, Any]:
    return {
        "pills": rows.pills(shown, tally),
        "matching": tally.counts[shown.query.status],
        "is_of_all": tally.of_all,
        "most": MOST,
    }
