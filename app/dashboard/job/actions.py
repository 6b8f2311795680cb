"""What can be done to a job from its page. What cannot be undone says first what it will touch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from flask import Blueprint, Response, request

from app.core.accounts.api_keys import WRITE
from app.core.pipeline import lifecycle
from app.core.reading.jobs import JobView
from app.core.requests.asked_again import Choice
from app.dashboard.blueprint import done, page
from app.dashboard.filters import money, plural, sentence
from app.dashboard.job import calls, errors, figures, forms, frame
from app.errors import BadInput
from app.ingest.bounds import MAX_TOKENS
from app.services import job_actions
from app.services.job_actions import Verb
from app.web.auth import caller, needs
from app.web.job_lookup import find_job

PAGE = "dashboard.job.show_job"

blp = Blueprint("job_actions", __name__)


@blp.post("/jobs/<job_id>/pause")
@needs(WRITE)
def pause_job(job_id: str) -> Response:
    """Start no new calls; those in flight end."""
    return _act(job_id, lifecycle.pause, "The job is paused: calls in flight end, and no new ones begin.")


@blp.post("/jobs/<job_id>/resume")
@needs(WRITE)
def resume_job(job_id: str) -> Response:
    """Go on with a paused job."""
    return _act(job_id, lifecycle.resume, "The job goes on.")


@blp.get("/jobs/<job_id>/cancel")
@needs(WRITE)
def ask_to_cancel(job_id: str) -> Response:
    """What a cancel would touch."""
    view = find_job(job_id)
    counts = view.counts
    return _confirm(
        view,
        "cancel",
        "Cancel the job",
        [
            f"{plural(counts.pending, 'record waits', 'records wait')}, and will not be asked.",
            f"{plural(counts.running, 'call is', 'calls are')} in flight, and will be cut off: the provider"
            " may bill what it has done.",
            f"{plural(counts.succeeded, 'answer stays', 'answers stay')}, and"
            f" {money(figures.read(view).cost)} is paid. A cancelled job cannot be resumed.",
        ],
        call=calls.of(view, "/cancel", method="POST"),
    )


@blp.post("/jobs/<job_id>/cancel")
@needs(WRITE)
def cancel_job(job_id: str) -> Response:
    """Cancel it."""
    return _act(job_id, lifecycle.cancel, "The job is cancelled. What was answered is here to stay.")


@blp.get("/jobs/<job_id>/delete")
@needs(WRITE)
def ask_to_delete(job_id: str) -> Response:
    """What a deletion would touch."""
    view = find_job(job_id)
    return _confirm(
        view,
        "delete",
        "Delete the job",
        [
            f"Its {plural(view.total, 'record')} with all prompts and answers will be removed for good:"
            " download them first if you need them.",
            f"What it cost, {money(figures.read(view).cost)}, stays in the usage of your tenant.",
        ],
        call=calls.of(view, method="DELETE"),
    )


@blp.post("/jobs/<job_id>/delete")
@needs(WRITE)
def delete_job(job_id: str) -> Response:
    """Delete it, and go to the others."""
    job_actions.act(caller().tenant_id, job_id, lifecycle.delete)
    return done("dashboard.show_home", "The job is deleted.")


@blp.get("/jobs/<job_id>/change")
@needs(WRITE)
def ask_to_change(job_id: str) -> Response:
    """The form for its name, priority and cap."""
    view = find_job(job_id)
    return _change_form(view, forms.Change.of_job(view))


@blp.post("/jobs/<job_id>/change")
@needs(WRITE)
def change_job(job_id: str) -> Response:
    """Change them, and go on with the job if that was asked for."""
    view, change = find_job(job_id), forms.Change.typed(request.form)
    if change.faults:
        return _change_form(view, change, status=422)
    try:
        job_actions.act(caller().tenant_id, job_id, partial(lifecycle.change, **change.values))
    except BadInput as error:
        faulty = replace(change, faults={"max_cost": sentence(error.message)})
        return _change_form(view, faulty, status=422)
    if "resume" in request.form:
        return _act(job_id, lifecycle.resume, "The job is changed, and goes on.")
    return done(PAGE, "The job is changed.", job_id=job_id)


@blp.get("/jobs/<job_id>/retry")
@needs(WRITE)
def ask_to_retry(job_id: str) -> Response:
    """The form that chooses what is asked again, with what that would do."""
    view = find_job(job_id)
    only = request.args.getlist("only")
    return page(
        "job/retry.html",
        **frame.values(view, "errors"),
        **errors.groups_of(view),
        only=only,
        most_tokens=MAX_TOKENS,
        figures=figures.read(view),
        call=calls.of(view, "/retry", method="POST", body={"only": only} if only else {}),
    )


@blp.post("/jobs/<job_id>/retry")
@needs(WRITE)
def retry_job(job_id: str) -> Response:
    """Ask again what was chosen."""
    choice = forms.choice(request.form.getlist("only"), request.form.get("max_tokens", ""))
    left: dict[str, int] = {}

    def retry(session: Any, job: Any) -> None:
        left.clear()  # a transaction may be run again
        left.update(lifecycle.retry(session, job, choice))

    job_actions.act(caller().tenant_id, job_id, retry)
    return done(PAGE, _told(choice, left), job_id=job_id)


def _told(choice: Choice, left: Mapping[str, int]) -> str:
    what = "What failed" if choice.only is None else f"What ended with {', '.join(sorted(choice.only))}"
    stays = ", ".join(f"{count:,} {word}" for word, count in sorted(left.items()))
    return f"{what} is asked again." + (f" Left as they are: {stays}." if stays else "")


def _act(job_id: str, verb: Verb, notice: str) -> Response:
    job_actions.act(caller().tenant_id, job_id, verb)
    return done(PAGE, notice, job_id=job_id)


def _confirm(
    view: JobView, action: str, question: str, touches: Sequence[str], *, call: calls.ApiCall
) -> Response:
    values = frame.values(view, "summary")
    return page("job/confirm.html", **values, action=action, question=question, touches=touches, call=call)


def _change_form(view: JobView, change: forms.Change, *, status: int = 200) -> Response:
    body = {"priority": view.priority, "max_cost": change.max_cost or None}
    return page(
        "job/change.html",
        status=status,
        **frame.values(view, "summary"),
        change=change,
        figures=figures.read(view),
        call=calls.of(view, method="PATCH", body=body),
    )
