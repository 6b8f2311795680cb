"""The results of a job as a file."""

from typing import Any

from flask import Response

from app.api.blueprint import Blueprint
from app.api.request_schemas import ResultQuery
from app.core.accounts.api_keys import READ
from app.web.auth import needs
from app.web.job_lookup import find_job, with_content
from app.web.results.downloads import documented
from app.web.results.job_results import Wanted, file_of

blp = Blueprint("results", "The results of a job as a file.")


@blp.route("/jobs/<job_id>/results", methods=["GET"])
@needs(READ, 404, 410, 503)
@blp.arguments(ResultQuery, location="query")
@documented(blp, "jsonl", "csv", "tsv", "xlsx", "json", "parquet")
def get_results(query: dict[str, Any], job_id: str) -> Response:
    """Download the records that have ended.

    One JSON object per line, as under `/records`; or the table that was submitted, in the form in which it
    came, with the answers in additional columns. Before the end of the job, the file has what has ended so
    far.
    """
    wanted = Wanted(
        query["format"],
        query["order"],
        plain=query["plain"],
        raw=query["raw"],
        answer=query["answer"],
        joins_lists=query["join_lists"],
    )
    return file_of(with_content(find_job(job_id)), wanted)
