"""What is wrong with an answer, and heavy checks: tenants take turns."""

import asyncio

import pytest

from app.core.requests.schemas import AnswerSchema
from app.core.worker.judging import answer_checks
from app.errors import AnswerTruncated
from app.providers.client import Reply, Usage

TWICE_ITSELF = {"anyOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}, {"const": 1}], "type": "array"}
ENDLESS = "[" * 40 + "2" + "]" * 40
ALPHA, BETA = 1, 2


def test_a_tenant_whose_checks_never_end_delays_anothers_by_one_of_them() -> None:
    # Given a tenant with many answers, each of which takes all the time that a check may take
    schema, slow, quick = AnswerSchema(TWICE_ITSELF), _reply(ENDLESS), _reply("[]")

    async def check() -> int:
        alpha = [asyncio.create_task(answer_checks.check(schema, slow, ALPHA, 100)) for _ in range(8)]
        await asyncio.sleep(0)  # they are all queued

        # When an answer of another tenant is checked
        assert (await answer_checks.check(schema, quick, BETA, 100)).fault is None
        ended = sum(task.done() for task in alpha)
        for task in alpha:
            task.cancel()
        await asyncio.gather(*alpha, return_exceptions=True)
        return ended

    # Then it was next
    assert asyncio.run(check()) <= answer_checks.HEAVY_AT_ONCE


@pytest.mark.parametrize(
    ("stop", "advice"),
    [
        (
            "max_tokens",
            "was cut at max_tokens 100 and does not match the schema: retry the job with a larger",
        ),
        ("model_context_window_exceeded", "make the record shorter, or name a model with a larger context"),
    ],
)
def test_an_answer_that_was_cut_says_what_would_help(stop: str, advice: str) -> None:
    schema, cut = AnswerSchema({"type": "object"}), _reply('{"a', stop)
    found = asyncio.run(answer_checks.check(schema, cut, ALPHA, 100)).fault
    assert isinstance(found, AnswerTruncated)
    assert advice in found.message


def _reply(text: str, stop: str | None = None) -> Reply:
    return Reply(body=text.encode(), usage=Usage(1, 1), request_id=None, text=text, stop_reason=stop)
