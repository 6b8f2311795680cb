"""A tenant that has worked for years, in a few statements: many jobs, and one of very many records."""

import uuid
from dataclasses import dataclass

import psycopg

from models.base import new_uid

TOTAL = 100  # records of each of the many jobs, of which there are only the counts
# Every fiftieth job is cancelled and every tenth has failures.
_JOBS = (
    "INSERT INTO job (uid, tenant_id, user_id, name, search_text, status, closed_as, settled_at, priority,"
    " model, limit_group, total, request_bytes, cursor, max_request_bytes, metadata, created_at, updated_at,"
    " started_at, ended_at, failures)"
    " SELECT uid, tenant_id, user_id, 'Nightly reviews ' || n, 'nightly reviews ' || n,"
    " CASE n %% 50 WHEN 0 THEN 'cancelled' ELSE 'completed' END, CASE n %% 50 WHEN 0 THEN 'cancelled' END,"
    " now(), 5, 'claude-haiku-4-5', 'anthropic:haiku', %(total)s, 200 * %(total)s, %(total)s, 200, '{}',"
    " at, at, at, at, CASE WHEN n %% 10 = 0 OR %(jobs)s = 1 THEN %(total)s / 100 ELSE 0 END"
    " FROM unnest(%(uids)s::uuid[]) WITH ORDINALITY AS jobs(uid, n),"
    " LATERAL (SELECT now() - (%(jobs)s - n) * interval '1 hour' AS at) AS times,"
    " (SELECT tenant_id, user_id FROM api_key ORDER BY id LIMIT 1) AS owner"
)
_COUNTS = (
    "INSERT INTO job_counts (job_id, succeeded, failed, cancelled, expired, input_tokens, output_tokens,"
    " cache_read_tokens, cache_write_tokens, cost, cost_unconfirmed, unpriced, seq, stop_reasons)"
    " SELECT id, total - failures, failures, 0, 0, 24 * total,"
    " 12 * total, 0, 0, 84000000::bigint * total, 0, 0, total, json_build_object('end_turn', total)"
    " FROM job WHERE uid = ANY (%(uids)s::uuid[])"
)
_SPECS = (
    "INSERT INTO job_spec (job_id, max_tokens, params, notes)"
    " SELECT id, 64, '{}', '[]' FROM job WHERE uid = ANY (%(uids)s::uuid[])"
)
_SPEND = (
    "INSERT INTO spend (job_id, day, tenant_id, cost, cost_unconfirmed)"
    " SELECT id, ended_at::date, tenant_id, 84000000::bigint * total, 0"
    " FROM job WHERE uid = ANY (%(uids)s::uuid[])"
)
# Every hundredth record of the large job has failed.
_OF_RECORDS = (
    "INSERT INTO record (job_id, idx, status, attempts, tries, deaths, request_bytes)"
    " SELECT %(job)s, n, CASE n %% 100 WHEN 0 THEN 5 ELSE 4 END, 1, 0, 0, 200"
    " FROM generate_series(0, %(total)s - 1) n",
    "INSERT INTO record_input (job_id, idx, custom_id, body)"
    " SELECT %(job)s, n, convert_to('row-' || n, 'UTF8'),"
    " convert_to('{\"prompt\":\"Classify review ' || n || ': great phone, bad battery.\"}', 'UTF8')"
    " FROM generate_series(0, %(total)s - 1) n",
    "INSERT INTO record_output (job_id, idx, seq, body, stop_reason, error_type, error_message, cost,"
    " latency_ms, started_at, ended_at)"
    " SELECT %(job)s, n, n + 1,"
    ' CASE n %% 100 WHEN 0 THEN NULL ELSE convert_to(\'{"type":"message","content":[{"type":"text",'
    '"text":"Review \' || n || \': mixed."}],"stop_reason":"end_turn"}\', \'UTF8\') END,'
    " CASE n %% 100 WHEN 0 THEN NULL ELSE 'end_turn' END,"
    " CASE n %% 100 WHEN 0 THEN 'invalid_request' END,"
    " CASE n %% 100 WHEN 0 THEN convert_to('prompt ' || n || ' is too long', 'UTF8') END,"
    " 84000000, 900, now(), now()"
    " FROM generate_series(0, %(total)s - 1) n",
    "INSERT INTO attempt (job_id, idx, attempt, tenant_id, outcome, model, cost, started_at, ended_at,"
    " input_tokens, output_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens)"
    " SELECT %(job)s, n, 1, (SELECT tenant_id FROM job WHERE id = %(job)s), 'answered', 'claude-haiku-4-5',"
    " 84000000, now() - n %% 40000 * interval '1 minute', now() - n %% 40000 * interval '1 minute',"
    " 24, 12, 0, 0, 0"
    " FROM generate_series(0, %(total)s - 1) n",
)
# The large job took a day, of which it has as many points as such a job has.
_OF_ITS_COURSE = (
    "UPDATE job SET created_at = ended_at - interval '1 day', started_at = ended_at - interval '1 day'"
    " WHERE id = %(job)s",
    "INSERT INTO job_time (job_id, milliseconds, state, since, watched, seen_at, points, point_at, seq,"
    " failed, cost) SELECT id, '{\"requests\": 80000000, \"provider\": 6400000}', 'ended', ended_at, false,"
    " ended_at, 1100, ended_at, total, 0, 0 FROM job WHERE id = %(job)s",
    "INSERT INTO job_point (job_id, at, seq, failed, cost)"
    " SELECT id, started_at + n * interval '78 seconds', n * total / 1107, 0, 84000000 * (n * total / 1107)"
    " FROM job, generate_series(1::bigint, 1107) n WHERE id = %(job)s",
)


@dataclass(frozen=True, slots=True)
class Filled:
    large: uuid.UUID
    middle: int  # the index of a record in the middle of it


def fill(database: str, jobs: int, records: int) -> Filled:
    """Give the first key's tenant so many jobs, and one more of so many records."""
    with psycopg.connect(database.replace("+psycopg", ""), autocommit=True) as connection:
        _write_jobs(connection, [new_uid() for _ in range(jobs)], TOTAL)
        large = new_uid()
        _write_jobs(connection, [large], records)
        row = connection.execute("SELECT id FROM job WHERE uid = %s", [large]).fetchone()
        assert row is not None
        for statement in (*_OF_RECORDS, *_OF_ITS_COURSE):
            connection.execute(statement, {"job": row[0], "total": records})
        connection.execute("VACUUM ANALYZE")
    return Filled(large, records // 2)


def _write_jobs(connection: psycopg.Connection, uids: list[uuid.UUID], total: int) -> None:
    values = {"uids": uids, "jobs": len(uids), "total": total}
    for statement in (_JOBS, _COUNTS, _SPECS, _SPEND):
        connection.execute(statement, values)
