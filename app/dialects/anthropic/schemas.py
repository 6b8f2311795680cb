"""The bodies and queries of Message Batches, as in the OpenAPI document."""

from typing import Any

import marshmallow as ma
from marshmallow import fields, validate

from app.dialects.anthropic.requests import CUSTOM_ID, MOST
from app.web.blueprint import PageSize, WebhookUrl

MOST_LISTED = 1_000


class RequestIn(ma.Schema):
    """A request. What is wrong with its `params` is its own result, and does not refuse the batch."""

    custom_id = fields.String(
        required=True,
        validate=validate.Regexp(rf"{CUSTOM_ID.pattern}\Z"),
        metadata={"description": "Unique in the batch."},
    )
    params = fields.Dict(
        required=True,
        metadata={"description": "A request to `/v1/messages`, of any model of one provider."},
    )


class BatchIn(ma.Schema):
    requests = fields.List(fields.Nested(RequestIn), required=True, validate=validate.Length(1, MOST))
    webhook_url = WebhookUrl()


class ListQuery(ma.Schema):
    limit = PageSize(20, MOST_LISTED)
    after_id = fields.String(metadata={"description": "The last batch of a page: those that follow it."})
    before_id = fields.String(metadata={"description": "The first batch of a page: those that precede it."})
    beta = fields.String(metadata={"description": "Has no effect."})

    @ma.validates_schema
    def _check_one(self, data: dict[str, Any], **_: Any) -> None:
        if "after_id" in data and "before_id" in data:
            raise ma.ValidationError("give after_id or before_id, not both", "before_id")


class CountsOut(ma.Schema):
    processing = fields.Integer(required=True)
    succeeded = fields.Integer(required=True)
    errored = fields.Integer(required=True)
    canceled = fields.Integer(required=True)
    expired = fields.Integer(required=True)


class ExtrasOut(ma.Schema):
    """What Penstock knows besides; the names are those of the native contract."""

    job_id = fields.String(required=True)
    name = fields.String(required=True, allow_none=True)
    status = fields.String(required=True)
    status_reason = fields.String(required=True, allow_none=True)
    model = fields.String(required=True, metadata={"description": "Of the requests that name no other."})
    counts = fields.Dict(required=True, keys=fields.String(), values=fields.Integer())
    progress = fields.Float(required=True)
    eta = fields.String(required=True, allow_none=True)
    limited_by = fields.String(required=True, allow_none=True)
    limited_by_detail = fields.Dict(required=True, allow_none=True)
    usage = fields.Dict(required=True, keys=fields.String(), values=fields.Integer())
    cost = fields.String(required=True, allow_none=True, metadata={"description": "Dollars."})
    cost_unconfirmed = fields.String(required=True, metadata={"description": "Dollars."})


class BatchOut(ma.Schema):
    id = fields.String(required=True)
    type = fields.String(required=True, validate=validate.Equal("message_batch"))
    processing_status = fields.String(
        required=True, validate=validate.OneOf(["in_progress", "canceling", "ended"])
    )
    request_counts = fields.Nested(CountsOut, required=True)
    created_at = fields.String(required=True)
    expires_at = fields.String(
        required=True, metadata={"description": "In the year 2999 for a job that does not expire."}
    )
    ended_at = fields.String(required=True, allow_none=True)
    cancel_initiated_at = fields.String(required=True, allow_none=True)
    archived_at = fields.String(
        required=True, allow_none=True, metadata={"description": "When its content was deleted."}
    )
    results_url = fields.String(
        required=True, allow_none=True, metadata={"description": "From the first result on."}
    )
    penstock = fields.Nested(ExtrasOut, required=True)


class BatchPage(ma.Schema):
    data = fields.List(fields.Nested(BatchOut), required=True)
    has_more = fields.Boolean(required=True)
    first_id = fields.String(required=True, allow_none=True)
    last_id = fields.String(required=True, allow_none=True)


class DeletedOut(ma.Schema):
    id = fields.String(required=True)
    type = fields.String(required=True, validate=validate.Equal("message_batch_deleted"))
