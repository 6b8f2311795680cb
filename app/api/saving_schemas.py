"""What was not asked or not paid, and how answers were made to fit, as the contract documents it."""

import marshmallow as ma
from marshmallow import fields


def _dollars(description: str) -> fields.String:
    return fields.String(required=True, metadata={"description": description, "example": "0.0123"})


class SavedRecordsOut(ma.Schema):
    records = fields.Integer(required=True, metadata={"description": "Records that were not asked."})
    cost = _dollars("USD that asking them would have cost, as far as that is known by now.")


class CacheSavedOut(ma.Schema):
    """What the provider's cache has saved."""

    tokens = fields.Integer(required=True, metadata={"description": "Input that was read from it."})
    cost = _dollars(
        "USD that the same calls would have cost more without it. Below 0 until what was written to it, which"
        " costs more than other input, has been read."
    )


class CachedOut(ma.Schema):
    """What calls did not pay."""

    prompt_cache = fields.Nested(CacheSavedOut, required=True)


class SavedOut(CachedOut):
    """What the job did not pay."""

    dedupe = fields.Nested(SavedRecordsOut, required=True, metadata={"description": "Copies of others."})
    reuse = fields.Nested(
        SavedRecordsOut, required=True, metadata={"description": "Records with the answer of an earlier job."}
    )


class RepairsOut(ma.Schema):
    """Answers that did not fit the schema at first, by what made them fit."""

    mended = fields.Integer(
        required=True, metadata={"description": "Read without a fence, prose or commas too many: free."}
    )
    asked_again = fields.Integer(
        required=True, metadata={"description": "The model was told what was wrong, and answered again."}
    )
    escalated = fields.Integer(
        required=True, metadata={"description": "The model of `escalate_to` answered."}
    )


class ReusedFromOut(ma.Schema):
    job = fields.String(required=True, metadata={"format": "uuid"})
    at = fields.DateTime(required=True, metadata={"description": "When it was answered there."})
