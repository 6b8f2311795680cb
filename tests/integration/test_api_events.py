"""Watching a job: events over a real server, without a gap, and no more than anybody can read."""

import json
import threading
import time
from collections.abc import Iterator

import pytest

from app.api import events as api_events
from app.core.limits.limiter import limiter
from app.core.limits.obstacle import Obstacle
from app.core.reading import follow
from app.core.reading.events import Event, State
from app.core.reading.feed import BEHIND, Feed, Reader
from app.errors import ReaderCut
from config import settings
from tasks import advance
from tests.support.front_door import JOBS, Worker, number_of
from tests.support.servers import free_port, wait_until
from tests.support.sse_reader import Stream
from tests.support.threaded_server import Served, serving

pytestmark = pytest.mark.one_database


@pytest.fixture
def served(environment) -> Iterator[Served]:
    with serving() as made:
        yield made


def finish(job) -> None:
    """What a control worker does once every record has ended."""
    advance.run(number_of(job))


def test_a_stream_says_why_a_job_is_held_and_when_it_is_tried_again(served):
    # Given a job whose group is held, by a provider that said something
    said = Obstacle(
        "http://x refuses the account: put a working key into ANTHROPIC_API_KEY",
        "http://x",
        "ANTHROPIC_API_KEY",
    )
    limiter().hold("simulated", "account: 401", seconds=30, detail=said.to_json())
    job = served.door.submit(3)

    # When somebody watches it, and a record moves
    with served.watch(job) as stream:
        snapshot = stream.next("snapshot")
        served.worker.end(job, [0])
        progress = stream.next("progress")

    # Then both say it, and so does the job
    for told in (snapshot.data, progress.data, served.door.job(job)):
        assert told["limited_by"] == "account: 401"
        assert told["limited_by_detail"]["message"] == said.message
        assert told["limited_by_detail"]["variable"] == "ANTHROPIC_API_KEY"
        assert told["limited_by_detail"]["next_try_at"] is not None


def test_a_stream_tells_the_whole_job_then_what_moves_and_ends_with_it(served):
    # Given a job that somebody watches
    job = served.door.submit(6)
    served.worker.end(job, [0])
    with served.watch(job) as stream:
        assert stream.status == 200
        assert stream.response.headers["Content-Type"].startswith("text/event-stream")
        assert stream.response.headers["Cache-Control"] == "no-store"
        snapshot = stream.next("snapshot")

        # When its records end, one of them failing, and the job with them
        served.worker.end(job, [2, 1])
        served.worker.end(job, [3, 4], error=("x", "y"))
        served.worker.end(job, [5])
        finish(job)
        told = list(stream)

    # Then the snapshot is the job as it was, and each later record is told once, in order
    assert (snapshot.id, snapshot.data["counts"]["succeeded"]) == (1, 1)
    assert snapshot.data["links"] == job["links"]
    items = [tuple(item) for event in told if event.kind == "records" for item in event.data["records"]]
    assert items == [
        (1, "succeeded", 2, "r1"),
        (2, "succeeded", 3, "r2"),
        (3, "failed", 4, "r3"),
        (4, "failed", 5, "r4"),
        (5, "succeeded", 6, "r5"),
    ]
    # And ids never go back, and the last event is the end
    assert [event.id for event in told] == sorted(event.id for event in told)
    assert (told[-1].kind, told[-1].data["status"]) == ("status", "completed")
    assert told[-1].data["counts"]["failed"] == 2
    assert told[-1].data == served.door.job(job)
    progress = [event for event in told if event.kind == "progress"]
    assert progress[-1].data["counts"]["succeeded"] == 4
    assert set(progress[-1].data) == {
        "counts",
        "progress",
        "eta",
        "limited_by",
        "limited_by_detail",
        "usage",
        "cost",
        "cost_unconfirmed",
    }


def test_a_reader_that_comes_back_misses_nothing_and_reads_nothing_twice(served):
    # Given a reader that left behind the fifth record
    job = served.door.submit(200)
    with served.watch(job) as stream:
        stream.next("snapshot")
        served.worker.end(job, range(5))
        last = stream.next("records").id
    assert last == 5

    # When many more end meanwhile, and more when it is back
    served.worker.end(job, range(5, 120))
    with served.watch(job, last_id=last) as stream:
        first = stream.next("records")
        served.worker.end(job, range(120, 200))
        finish(job)
        rest = list(stream)

    # Then each of them is told once
    told = [first, *(event for event in rest if event.kind == "records")]
    assert [item[2] for event in told for item in event.data["records"]] == list(range(6, 201))
    assert rest[-1].data["status"] == "completed"


def test_a_job_that_has_ended_is_told_and_that_is_all(served):
    job = served.door.submit(2)
    served.worker.end(job, [0, 1])
    finish(job)

    with served.watch(job) as stream:
        new = [event.kind for event in stream]
    with served.watch(job, last_id=1) as stream:
        resumed = [(event.kind, event.id) for event in stream]
    with served.watch(job, last_id=99) as stream:
        lost = [event.kind for event in stream]

    assert new == ["snapshot", "status"]
    assert resumed == [("records", 2), ("progress", 2), ("status", 2)]
    assert lost == ["snapshot", "status"]  # an id of nobody's: the whole job again


def test_a_busy_job_tells_at_most_ten_events_a_second(served):
    # Given a job whose records end one by one, as fast as it goes
    job = served.door.submit(150)
    with served.watch(job) as stream:
        stream.next("snapshot")
        feeding = threading.Thread(target=_end_one_by_one, args=(served.worker, job, 150))
        started = time.monotonic()
        feeding.start()
        told = []
        for event in stream:
            told.append((time.monotonic() - started, event))
            if event.id == 150 and event.kind == "progress":
                break
        feeding.join()

    # Then no second holds more than ten events, and all records are told
    times = [at for at, _ in told]
    assert max(sum(1 for other in times if at <= other < at + 1) for at in times) <= 10
    assert sum(len(event.data["records"]) for _, event in told if event.kind == "records") == 150


def watch_answers(served: Served, job, last_id: int | None = None) -> Stream:
    return Stream(served.url, f"{job['links']['events']}?include=answers", served.door.key, last_id)


def test_on_request_the_answers_are_told_from_the_first_on_as_records_are_read(served):
    # Given a job of which a record has ended, and whose next answer has what many take for ends of lines
    job = served.door.submit(4)
    served.worker.end(job, [2])
    with watch_answers(served, job) as stream:
        told = [stream.next("snapshot"), stream.next("records")]

        # When the others end
        odd = json.dumps({"content": [{"type": "text", "text": "a\u2028b\x85c"}]}, ensure_ascii=False)
        served.worker.end(job, [0], answer=odd.encode())
        served.worker.end(job, [1, 3], error=("x", "y"))
        finish(job)
        told += list(stream)

    # Then each record is told once, as it reads elsewhere
    assert [event.id for event in told] == sorted(event.id for event in told)
    answers = [answer for event in told if event.kind == "records" for answer in event.data["answers"]]
    assert [answer["index"] for answer in answers] == [2, 0, 1, 3]
    read = served.door.get(job["links"]["records"]).get_json()["data"]
    assert sorted(answers, key=lambda answer: answer["index"]) == read
    assert answers[1]["response"]["content"][0]["text"] == "a\u2028b\x85c"
    # And who comes back gets the rest alone
    with watch_answers(served, job, last_id=2) as stream:
        rest = stream.next("records").data
    assert [item[0] for item in rest["records"]] == [answer["index"] for answer in rest["answers"]] == [1, 3]


def test_long_answers_come_in_several_events_and_ids_between_them_resume(served, monkeypatch):
    # Given answers of which three are more than an event may hold
    monkeypatch.setattr(api_events, "EVENT_BYTES", 2_500)
    job = served.door.submit(20)
    answer = json.dumps({"content": [{"type": "text", "text": "x" * 1_000}]}).encode()
    served.worker.end(job, range(20), answer=answer)
    finish(job)

    # When somebody watches, and comes back in the middle
    with watch_answers(served, job) as stream:
        told = [event for event in stream if event.kind == "records"]
    with watch_answers(served, job, last_id=told[2].id) as stream:
        rest = [event for event in stream if event.kind == "records"]

    # Then no event holds many more bytes, and nothing is told twice or left out
    assert max(len(event.data["answers"]) for event in told) <= 3
    assert [item[2] for event in told for item in event.data["records"]] == list(range(1, 21))
    assert [event.data for event in rest] == [event.data for event in told[3:]]
    assert all(
        [item[0] for item in event.data["records"]] == [one["index"] for one in event.data["answers"]]
        for event in told
    )


def test_who_does_not_ask_for_answers_makes_nobody_read_them(served, statements):
    job = served.door.submit(2)
    with served.watch(job) as stream:
        stream.next("snapshot")
        with statements() as sent:
            served.worker.end(job, [0])
            assert "answers" not in stream.next("records").data
    assert not [statement for statement in sent if "record_output.body" in statement]
    assert served.door.get(f"{job['links']['events']}?include=everything").status_code == 422


def test_a_change_of_status_is_told(served):
    job = served.door.submit(3)
    with served.watch(job) as stream:
        stream.next("snapshot")
        served.door.post(f"{JOBS}/{job['id']}/pause")
        paused = stream.next("status")
        while paused.data["status"] != "paused":
            paused = stream.next("status")
        served.door.post(f"{JOBS}/{job['id']}/cancel")
        told = list(stream)

    assert paused.data["limited_by"] == "paused"
    assert told[-1].data["status"] == "cancelled"
    assert told[-1].data["counts"]["cancelled"] == 3


def test_rows_are_read_once_however_many_watch(served, statements):
    # Given ten readers of one job
    job = served.door.submit(3)
    streams = [served.watch(job) for _ in range(10)]
    for stream in streams:
        stream.next("snapshot")

    # When two records end
    with statements() as sent:
        served.worker.end(job, [0, 1])
        told = [stream.next("records") for stream in streams]
    for stream in streams:
        stream.close()

    # Then all are told the same, and the records were read for all of them at once
    assert {event.id for event in told} == {2}
    assert len([statement for statement in sent if "record_output.seq >" in statement]) <= 2


def test_without_redis_news_comes_from_the_rows(environment, monkeypatch):
    # Given a Redis that nobody answers at
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{free_port()}/0")
    settings.current.cache_clear()
    with serving() as served:
        job = served.door.submit(2)
        with served.watch(job) as stream:
            assert stream.next("snapshot").data["limited_by"] == "redis"

            # When a record ends
            started = time.monotonic()
            served.worker.end(job, [1])

            # Then it is told about a second later
            assert stream.next("records").data["records"] == [[1, "succeeded", 1, "r1"]]
            assert time.monotonic() - started < 5


def test_silence_is_kept_alive_by_comments(served, monkeypatch):
    monkeypatch.setattr(follow, "HEARTBEAT", 0.1)
    job = served.door.submit(1)

    with served.watch(job) as stream:
        assert stream.next("comment").data


def test_streams_leave_threads_to_everybody_else(environment, monkeypatch):
    # Given a process whose threads leave eight to streams
    monkeypatch.setattr(follow, "HEARTBEAT", 0.2)  # it is then that the end of a reader is noticed
    monkeypatch.setenv("PENSTOCK_WEB_THREADS", "40")
    settings.current.cache_clear()
    with serving() as served:
        job = served.door.submit(1)
        streams = [served.watch(job) for _ in range(7)]
        for stream in streams:
            stream.next("snapshot")

        # When its tenant asks for the last one too, it is told to come back, and everything else goes on
        with served.watch(job) as eighth:
            assert eighth.status == 503
            assert int(eighth.response.headers["Retry-After"]) > 0
            assert "your tenant holds 7 of this process's 8" in eighth.response.read().decode()
        assert served.door.job(job)["id"] == job["id"]
        waited = served.door.post_records(1, headers={"Prefer": "wait=5"})
        assert waited.status_code == 202
        assert "Preference-Applied" not in waited.headers

        # And a tenant that holds none gets it
        beta = served.door.other()
        other = beta.submit(1)
        with Stream(served.url, other["links"]["events"], beta.key) as stream:
            stream.next("snapshot")

        # Then a place that comes free is taken again
        streams.pop().close()

        def has_room() -> bool:
            with served.watch(job) as stream:
                return stream.status == 200

        wait_until(has_room, what="a stream is let in")
        for stream in streams:
            stream.close()


def test_a_caller_that_waits_is_answered_when_the_job_has_ended(served):
    # Given somebody who finishes each job as soon as it is there
    done = threading.Event()

    def work() -> None:
        wait_until(lambda: served.door.get(JOBS).get_json()["data"], what="the job is there")
        [job] = served.door.get(JOBS).get_json()["data"]
        served.worker.end(job, [0])
        finish(job)
        done.set()

    worker = threading.Thread(target=work)
    worker.start()

    # When a job is submitted by a caller that prefers to wait
    started = time.monotonic()
    response = served.door.post_records(1, headers={"Prefer": "wait=30"})
    worker.join()

    # Then the answer is the ended job
    assert done.is_set()
    assert response.status_code == 200
    assert response.headers["Preference-Applied"] == "wait=30"
    assert response.get_json()["status"] == "completed"
    assert time.monotonic() - started < 15


def test_a_reader_that_is_too_far_behind_is_cut():
    reader = Reader(Feed(), 1, State((), ()), lambda: None)
    for number in range(BEHIND + 1):
        reader.push([Event("records", number, b"[]")])

    with pytest.raises(ReaderCut):
        reader.next(0)


def _end_one_by_one(worker: Worker, job, count: int) -> None:
    for index in range(count):
        worker.end(job, [index])
