-- How many slice workers have something to do, as one integer. KEDA asks every few seconds.
--
-- A group of models that share a limit is given the calls per second that its due records need to be asked within
-- a minute (or, where a call takes longer, all at once), but no more than its limits and its bounds of calls in
-- flight let start. A worker makes up to 650 calls per second, and holds 40 slices of calls of one job in flight:
-- docs/scaling.md. A paused job adds nothing. A held group adds one worker for the minute before its next probe,
-- because only a slice worker can find out that it may go on.
--
-- Records in flight count as due, so that a worker is not stopped while it waits for answers. Later turns of
-- conversations count, too: too many workers for a while. Limits of a limits file are not seen here.
WITH live AS ( -- found by ix_job_live, which holds unfinished jobs alone
    SELECT
        job.id,
        job.limit_group,
        job.max_concurrent,
        counts.succeeded,
        counts.input_tokens + counts.cache_write_tokens AS input_tokens,
        counts.output_tokens,
        job.total - counts.succeeded - counts.failed - counts.cancelled - counts.expired AS unended
    FROM job
    CROSS JOIN LATERAL ( -- one by one: a plan that reads them all would read those of every job there ever was
        SELECT succeeded, failed, cancelled, expired, input_tokens, cache_write_tokens, output_tokens
        FROM job_counts
        WHERE job_counts.job_id = job.id
        LIMIT 1
    ) AS counts
    WHERE job.status IN ('pending', 'running') AND job.closed_as IS NULL
),

due AS ( -- without those given back for later, found by ix_record_waiting
    SELECT
        live.*,
        greatest(0, live.unended - (
            SELECT count(*) FROM (
                SELECT FROM record
                WHERE record.job_id = live.id AND record.status = 2
                    AND record.not_before > now() + interval '1 minute'
                LIMIT 100000
            ) AS later
        )) AS records
    FROM live
),

latest AS ( -- a few jobs of each group that have answers
    SELECT id, limit_group FROM (
        SELECT id, limit_group, row_number() OVER (PARTITION BY limit_group ORDER BY id DESC) AS place
        FROM live
        WHERE succeeded > 0
    ) AS answered
    WHERE place <= 20
),

call AS ( -- how long a call takes, by the latest answers, found by uq_record_output_job_id_seq
    SELECT latest.limit_group, greatest(avg(answer.latency_ms) / 1000, 0.001) AS seconds
    FROM latest
    CROSS JOIN LATERAL (
        SELECT latency_ms FROM record_output WHERE job_id = latest.id ORDER BY seq DESC LIMIT 20
    ) AS answer
    GROUP BY latest.limit_group
),

configured (provider, requests, input_tokens, output_tokens, assumed) AS (
    VALUES
    (
        'anthropic',
        {{ with .Values.config.CLAUDE_REQUESTS_PER_MINUTE }}{{ int64 . }}{{ else }}NULL{{ end }}::bigint,
        {{ with .Values.config.CLAUDE_INPUT_TOKENS_PER_MINUTE }}{{ int64 . }}{{ else }}NULL{{ end }}::bigint,
        {{ with .Values.config.CLAUDE_OUTPUT_TOKENS_PER_MINUTE }}{{ int64 . }}{{ else }}NULL{{ end }}::bigint,
        50
    ),
    ('openai', NULL, NULL, NULL, 500),
    ('simulated', {{ with .Values.config.SIMULATED_REQUESTS_PER_MINUTE }}{{ int64 . }}{{ else }}NULL{{ end }}::bigint, NULL, NULL, NULL)
),

limited AS ( -- per minute; what an operator or the environment allows, or less where the provider says so
    SELECT
        due.limit_group,
        sum(due.records) AS records,
        sum(least(due.records, due.max_concurrent,
            {{ with .Values.config.BATCH_MAX_CONCURRENT_LLM_CALLS }}{{ int64 . }}{{ else }}NULL{{ end }}::bigint)) AS seats,
        coalesce(min(call.seconds), 3) AS seconds,
        min(least(coalesce(own.requests_per_minute, configured.requests), own.learned_requests)) AS requests,
        min(configured.assumed) AS assumed,
        min(least(coalesce(own.input_tokens_per_minute, configured.input_tokens), own.learned_input_tokens))
        / nullif(sum(due.input_tokens) / nullif(sum(due.succeeded), 0), 0) AS calls_by_input,
        min(least(coalesce(own.output_tokens_per_minute, configured.output_tokens), own.learned_output_tokens))
        / nullif(sum(due.output_tokens) / nullif(sum(due.succeeded), 0), 0) AS calls_by_output,
        min(own.max_concurrent_calls) AS concurrent,
        min(own.held_until) AS held_until
    FROM due
    LEFT JOIN call ON call.limit_group = due.limit_group
    LEFT JOIN limit_group AS own ON own.name = due.limit_group
    LEFT JOIN configured ON configured.provider = split_part(due.limit_group, ':', 1)
    WHERE due.records > 0
    GROUP BY due.limit_group
),

wanted AS (
    SELECT
        seconds,
        CASE
            WHEN held_until > now() + interval '1 minute' THEN 0
            WHEN held_until IS NOT NULL THEN 1.0 / 60
            ELSE least(
                records / greatest(60, seconds),
                seats / seconds,
                concurrent / seconds,
                coalesce(requests, assumed) / 60.0,
                calls_by_input / 60.0,
                calls_by_output / 60.0
            )
        END AS calls_per_second
    FROM limited
)

SELECT
    coalesce(ceil(sum(
        calls_per_second / least(650, {{ .Values.config.RECORDS_PER_TASK | default 64 | int64 | mul 40 }} / seconds)
    )), 0)::integer AS workers
FROM wanted
