"""A user's own input as a weapon, and answers that nobody can store: each record ends, and alone."""

from sqlalchemy import func, select

from app.services.options import Options
from models import Lease, Record
from models.session import reading
from tests.support.invariants import Reconciled

HAIKU = {"model": "claude-haiku-4-5"}
TWICE_ITSELF = {"anyOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}}, {"const": 1}], "type": "array"}


def test_an_answer_that_nobody_can_check_or_store_fails_alone(running, upstream):
    # Given a provider whose answers and refusals hold what a validator and a database refuse
    texts = {"half": '"\ud800"', "deep": "[" * 400 + "]" * 400, "fine": '"well"'}
    upstream.configure(
        faults=[{"kind": "answer", "matching": f"ask {word}", "text": text} for word, text in texts.items()]
        + [{"kind": "status", "status": 400, "matching": "ask odd", "type": "\0" + "x" * 300}]
    )

    # When each is asked for, with a schema
    asked = [{"prompt": f"ask {word}"} for word in ("half", "deep", "odd", "fine")]
    job = running.submit(asked, **HAIKU, schema={"type": "string"}, options=Options(retries=0)).wait_for(
        "completed", seconds=30
    )

    # Then only the good one has succeeded, the others say why not, and every call is in the ledger
    outputs = job.outputs()
    assert [outputs[index].error_type for index in (0, 1)] == ["schema_mismatch"] * 2
    assert "JSON that can be checked" in outputs[0].error_message.decode()
    assert outputs[2].error_type.endswith("xxx")
    assert outputs[3].error_type is None
    assert job.counts().failed == 3
    Reconciled([job], upstream)


def test_a_schema_that_never_ends_costs_no_process_its_life(running, upstream):
    # Given a schema that makes years of work of a deep answer, and a provider that gives one
    upstream.configure(faults=[{"kind": "answer", "matching": "ask deep", "text": "[" * 40 + "2" + "]" * 40}])
    leases = _leases()

    # When it is asked for, and another job meanwhile
    deep = running.submit([{"prompt": "ask deep"}], **HAIKU, schema=TWICE_ITSELF, options=Options(retries=0))
    other = running.prompts(50)

    # Then both end, and no process was taken for dead
    other.wait_for("completed")
    deep.wait_for("completed", seconds=90)
    output = deep.outputs()[0]
    assert output.error_type == "schema_mismatch"
    assert "could not be checked" in output.error_message.decode()
    assert _leases() == leases
    assert _deaths(deep) == 0


def test_a_schema_that_wants_an_endless_value_is_refused_by_the_simulated_provider(running):
    broad = {"type": "object", "properties": {str(number): {"$ref": "#"} for number in range(100)}}

    job = running.submit([{"prompt": "Prompt"}], schema=broad).wait_for("completed", seconds=30)

    assert "too large" in job.outputs()[0].error_message.decode()
    assert _deaths(job) == 0


def test_a_schema_that_was_stored_before_its_bound_fails_its_records_unasked(running, upstream):
    # Given jobs whose schemas take a compiler's memory, or its stack, as an earlier release stored them
    doubling = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(22)} | {"d22": {}}
    chain = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}]} for n in range(3_000)} | {"d3000": {}}
    leases = _leases()

    # When their records' turn comes
    jobs = [
        running.submit(
            [{"prompt": "Prompt"}] * 2,
            **HAIKU,
            schema={"unevaluatedProperties": False, "$ref": "#/$defs/d0", "$defs": parts},
        )
        for parts in (doubling, chain)
    ]

    # Then each says what is wrong with the schema, nothing was asked, and no process died of it
    for job in jobs:
        job.wait_for("completed", seconds=30)
        outputs = job.outputs()
        assert [outputs[index].error_type for index in (0, 1)] == ["schema_error"] * 2
        assert b"references" in outputs[0].error_message
        assert _deaths(job) == 0
    assert _leases() == leases
    assert upstream.books() == []


def _leases() -> list[int]:
    with reading() as session:
        return list(session.scalars(select(Lease.id).where(Lease.dead_at.is_(None)).order_by(Lease.id)))


def _deaths(job) -> int:
    with reading() as session:
        return session.scalar(select(func.sum(Record.deaths)).where(Record.job_id == job.id))
