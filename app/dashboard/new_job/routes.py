"""From a dropped file to a submitted job."""

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from flask import Blueprint, Response, redirect, request, url_for

from app.core.accounts.api_keys import READ, WRITE, Caller
from app.core.documents import job_drafts
from app.core.documents.job_drafts import DOCUMENTS, JobDraft
from app.core.documents.upload import receiving
from app.dashboard import live
from app.dashboard.blueprint import done, fragment, is_htmx, page
from app.dashboard.live import Region
from app.dashboard.new_job import calls, choices, faults, form, preparing, quoting, receipt, shown, trial
from app.errors import NotFound, Refused
from app.ingest.previews.tables import TablePreview
from app.ingest.spool import DraftSpool
from app.ingest.template_hints import place
from app.ingest.values import as_text
from app.services import submission
from app.services.options import Repeat
from app.services.submission import Submitted
from app.web.auth import caller, needs
from app.web.large_bodies import FIELDS, FORM, UPLOAD, Limit, takes
from config import settings
from models.session import reading

# What is kept of a form has up to `drafts.MAX_FIELD_BYTES`; on the way some characters take more.
TYPED = Limit("not a setting", lambda _: 1_200_000)
TRIED_AGAIN = 60  # seconds

blp = Blueprint("new_job", __name__)


@blp.get("/new")
@needs(WRITE)
def start() -> Response:
    """Where a file is dropped; and what was dropped before."""
    return _start()


@blp.post("/new")
@needs(WRITE)
@takes({FORM: UPLOAD})
def receive() -> Response:
    """Keep the dropped file, or the pasted texts, as a draft."""
    me = caller()
    try:
        draft = receipt.receive(me, request)
    except Refused as error:
        return _start(status=error.status, fault=error)
    return _to(draft)


@blp.get("/new/<uid>")
@needs(WRITE)
def show(uid: str) -> Response:
    """The draft as it was left; one that was submitted leads to its job."""
    try:
        return _show(_find(uid))
    except NotFound:
        return _to_job_of(uid)


@blp.post("/new/<uid>")
@needs(WRITE)
@takes({FIELDS: TYPED, FORM: TYPED})
def change(uid: str) -> Response:
    """Keep what is typed, and do what the button says."""
    me = caller()
    try:
        before = _find(uid)
    except NotFound:
        if is_htmx():
            raise
        return _to_job_of(uid)
    typed = form.read(request.form)
    if column := request.form.get("insert"):
        typed = form.insert(typed, column)
    if form.TRIED_WITH in before.fields:
        typed[form.TRIED_WITH] = before.fields[form.TRIED_WITH]
    draft = job_drafts.change(me.tenant_id, me.user_id, before.uid, fields=typed)
    if is_htmx():
        return _typed(draft)
    try:
        match request.form.get("action"):
            case "try":
                return _try(me, draft)
            case "submit":
                return _submit(me, draft)
            case "document" if is_text(draft):
                draft = job_drafts.change(me.tenant_id, me.user_id, draft.uid, format=DOCUMENTS)
            case "quote":
                return _show(draft, quoted=quoting.work_out(me, draft))
    except Refused as error:
        return _show(draft, status=error.status, fault=error)
    return _to(draft, anchor="prompt")


@blp.post("/new/<uid>/remove")
@needs(WRITE)
def remove(uid: str) -> Response:
    """Forget the draft and its file."""
    me = caller()
    job_drafts.remove(me.tenant_id, me.user_id, _find(uid).uid)
    return done("dashboard.new_job.start", "The draft and its file are removed.")


@blp.get("/new/<uid>/quote")
@needs(WRITE)
def show_quote(uid: str) -> Response:
    """The price as it stands, for the page."""
    me, draft = caller(), _find(uid)
    quoted = quoting.work_out(me, draft) if draft.bytes <= quoting.BY_ITSELF else quoting.Quoted()
    return page("new_job/quote.html", draft=draft, quoted=quoted, **_of_price(me, draft))


@blp.get("/new/<uid>/rows")
@needs(WRITE)
def follow_rows(uid: str) -> Response:
    """The first rows, anew with each answer of the trial."""
    return live.stream(_rows(caller(), _find(uid)))


def _rows(me: Caller, draft: JobDraft) -> Iterator[Region]:
    job = trial.find_job(me, draft)
    if job is None:
        yield Region(is_last=True)
        return
    for is_last in trial.follow_job(job, me.key_id):
        html = yield from live.in_turn(partial(_table, me, draft))
        yield Region(html, is_last)


def _table(me: Caller, draft: JobDraft) -> str:
    found = shown.show(me, draft)
    tried = trial.read(me, draft, found.preview)
    return fragment("new_job/rows.html", draft=draft, shown=found, tried=tried, faults={}, as_text=as_text)


def is_text(draft: JobDraft) -> bool:
    """Whether its file is a sheet only because texts may be one."""
    return draft.format in ("csv", "tsv") and draft.name.lower().endswith(".txt")


def _find(uid: str) -> JobDraft:
    me = caller()
    try:
        number = uuid.UUID(uid)
    except ValueError:
        raise NotFound(f"there is no draft {uid[:100]!r}: drop the file again") from None
    with reading() as session:
        return job_drafts.find(session, me.tenant_id, me.user_id, number)


def _start(status: int = 200, fault: Refused | None = None) -> Response:
    me = caller()
    with reading() as session:
        kept = job_drafts.latest(session, me.tenant_id, me.user_id)
    return page(
        "new_job/start.html",
        status=status,
        title="New job",
        kept=kept,
        fault=fault,
        pasted=request.form.get("text", ""),
        lacking=choices.lacking(settings.current()),
    )


def _show(
    draft: JobDraft, status: int = 200, fault: Refused | None = None, quoted: quoting.Quoted | None = None
) -> Response:
    """The page of a draft; `fault` is why it was not tried or submitted."""
    me = caller()
    values = _values(me, draft)
    return page(
        "new_job/draft.html",
        status=status,
        title="New job",
        quoted=quoted or (quoting.Quoted(fault=fault) if fault else quoting.with_page(me, draft)),
        fault=fault,
        **{**values, **_faults(fault)},
    )


def _typed(draft: JobDraft) -> Response:
    """What of the page follows from what was typed; the price is asked for when this is there."""
    response = page("new_job/typed.html", quoted=quoting.Quoted(), **_values(caller(), draft))
    if draft.bytes <= quoting.BY_ITSELF:
        response.headers["HX-Trigger"] = "typed"
    return response


def _values(me: Caller, draft: JobDraft) -> dict[str, Any]:
    found = shown.show(me, draft)
    return {
        "draft": draft,
        "typed": draft.fields,
        "ask": form.ask(draft.fields),
        "shown": found,
        **_of_price(me, draft, found.preview),
        **_faults(None),
        "call": calls.of(draft),
        "is_text": is_text(draft),
        "place": place,
        "as_text": as_text,
        "default_max_tokens": settings.current().default_max_tokens,
        **choices.all_of(settings.current()),
    }


def _of_price(me: Caller, draft: JobDraft, preview: TablePreview | None = None) -> dict[str, Any]:
    return {
        "tried": trial.read(me, draft, preview),
        "told": faults.sentence_of,
        "faults_of": faults.problems,
        "is_quoted_by_itself": draft.bytes <= quoting.BY_ITSELF,
    }


def _faults(fault: Refused | None) -> dict[str, Any]:
    """The faults of rows by number, and those of fields by name."""
    found = faults.problems(fault)
    return {"faults": faults.by_row(found), "by_field": faults.by_field(found), "problems": found}


def _try(me: Caller, draft: JobDraft) -> Response:
    """Ask the first rows; their job is the trial whose answers the whole job takes over."""
    with DraftSpool(settings.current().data) as spool, receiving(me.tenant_uid) as upload:
        received = preparing.prepare(me, draft, spool, upload, rows=trial.ROWS)
        name = f"{received.options.name or draft.name} (first {spool.count})"[:255]
        options = replace(received.options, name=name, repeat=_again(draft))
        made = submission.submit(me.tenant_id, me.user_id, spool, received.defaults, options, upload)
    fields = {**draft.fields, form.TRIED_WITH: form.asked_with(draft.fields)}
    job_drafts.change(me.tenant_id, me.user_id, draft.uid, fields=fields, tried=made.uid)
    return _to(draft, anchor="rows")


def _submit(me: Caller, draft: JobDraft) -> Response:
    with DraftSpool(settings.current().data) as spool, receiving(me.tenant_uid) as upload:
        received = preparing.prepare(me, draft, spool, upload)
        tried = trial.find_job(me, draft)
        options = replace(
            received.options,
            reuse=trial.reuse(received.options, tried),
            repeat=_once(draft.uid),
        )
        made: Submitted = submission.submit(
            me.tenant_id, me.user_id, spool, received.defaults, options, upload
        )
    job_drafts.remove(me.tenant_id, me.user_id, draft.uid)
    return _to_job(me, made)


def _to_job_of(uid: str) -> Response:
    """To the job that a draft became: a button was pressed twice, or somebody went back to its page."""
    me = caller()
    made = submission.find_earlier(me.tenant_id, _once(uid))
    if made is None:
        raise NotFound(
            "there is no such draft: it was removed, or left alone for a week; drop the file again"
        )
    return _to_job(me, made)


def _to_job(me: Caller, made: Submitted) -> Response:
    notice = f"Batch submitted with ID {made.uid}"
    if not me.may(READ):
        return done("dashboard.new_job.start", notice)
    return done("dashboard.job.show_job", notice, job_id=str(made.uid))


def _once(uid: uuid.UUID | str) -> Repeat:
    """A draft becomes one job."""
    return _repeat(f"submit {uid}", None)


def _again(draft: JobDraft) -> Repeat:
    """The same rows, tried again soon, are the trial that is there."""
    return _repeat(f"try {draft.uid} {form.asked_with(draft.fields)}", TRIED_AGAIN)


def _repeat(what: str, within: int | None) -> Repeat:
    digest = hashlib.sha256(what.encode()).digest()
    return Repeat(f" {digest.hex()}", digest, within)


def _to(draft: JobDraft, anchor: str | None = None) -> Response:
    response = redirect(url_for("dashboard.new_job.show", uid=draft.uid, _anchor=anchor), 303)
    assert isinstance(response, Response)
    return response
