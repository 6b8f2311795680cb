"""A tenant with something to show on every view: jobs in every state, asked by real workers."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from tests.support.front_door import JOBS, Door
from tests.support.servers import wait_until
from tests.support.shared_stack import Service

MODEL = "claude-haiku-4-5"
REFUSED, HANGING = "Refuse this, please.", "Hang on this, please."
LONG = "It arrived late and the box was open. " * 80
SHEET = f"""review,stars
Fits well and looks good,5
المقاس صغير جدًا ولكن القماش جيد,2
颜色比照片上好看，很满意,5
"Two lines:
one, and <b>another</b> & more",3
{LONG},1
"{REFUSED}",1
"""
TEXTS = {"requests": [{"text": "A text that is long enough.", "operation": "summarize"}] * 2}
CHATS = b"chatId,question\n1,What is it?\n1,And why?\n2,Since when?\n"


@contextmanager
def something_of_everything(service: Service, door: Door) -> Iterator[None]:
    """Give the tenant of `door`, which has nothing yet, all that there is a view of."""
    service.upstream.configure(
        faults=[
            {"kind": "status", "status": 400, "matching": REFUSED, "message": "this prompt is refused"},
            {"kind": "hang", "matching": HANGING},
        ]
    )
    _settings(door)
    others = [*_of_other_contracts(door), _paused(door), _cancelled(door), _reviews(door, "Reviews, March")]
    running = door.submit([{"prompt": "Say one"}, {"prompt": HANGING}], model=MODEL, name="One hangs")
    others += [_reviews(door, "Reviews, 三月")]
    wait_until(lambda: all(_rests(door, path) for path in others), seconds=60, what="all jobs rest")
    wait_until(lambda: door.job(running)["counts"]["succeeded"] == 1, what="one record is answered")
    yield
    door.post(f"{running['links']['self']}/cancel")


def _settings(door: Door) -> None:
    hook = {"name": "ends", "url": "https://127.0.0.1:9/hooks", "event_types": ["job.completed"]}
    asked = (
        door.post("/api/v1/webhooks", json=hook),
        door.post("/api/v1/keys", json={"name": "for reading", "scopes": ["jobs:read"]}),
        door.call("PUT", "/api/v1/prompt-overrides/summarize", json={"prompt": "In ten words: {{ text }}"}),
    )
    for answer in asked:
        assert answer.status_code < 300, answer.text


def _reviews(door: Door, name: str) -> str:
    """A sheet of which one row fails."""
    answer = door.upload(
        "reviews.csv",
        SHEET.encode(),
        model=MODEL,
        name=name,
        template="<review>{{ review }}</review> What does this customer like or dislike?",
        max_tokens="200",
        max_cost="5",
    )
    assert answer.status_code == 202, answer.text
    return _path(answer.get_json())


def _paused(door: Door) -> str:
    job = door.submit([{"prompt": HANGING}], model=MODEL, name="Paused by hand")
    door.post(f"{job['links']['self']}/pause")
    return _path(job)


def _cancelled(door: Door) -> str:
    job = door.submit([{"prompt": HANGING}], model=MODEL, name="Cancelled by hand")
    door.post(f"{job['links']['self']}/cancel")
    return _path(job)


def _of_other_contracts(door: Door) -> Iterator[str]:
    form = {"file": (BytesIO(CHATS), "questions.csv")}
    for answer in (door.post("/batch_process", json=TEXTS), door.post("/api/batch/create", data=form)):
        assert answer.status_code in (200, 202), answer.text
        yield f"{JOBS}/{answer.headers['Penstock-Job']}"


def _path(job: dict[str, dict[str, str]]) -> str:
    return job["links"]["self"]


def _rests(door: Door, path: str) -> bool:
    return door.get(path).get_json()["status"] in {"completed", "paused", "cancelled"}
