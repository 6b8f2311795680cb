"""A tenant who asks for quotes and buys, and the example files."""

from pathlib import Path

from tests.support.front_door import JOBS, Door
from tests.support.servers import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
QUESTIONS = (EXAMPLES / "questions.jsonl").read_bytes()
CLAUDE = "claude-haiku-4-5"


def first_lines(content: bytes, count: int) -> bytes:
    return b"".join(content.splitlines(keepends=True)[:count])


class Buyer:
    """A tenant at the door who asks for quotes and submits."""

    def __init__(self, door: Door) -> None:
        self.door = door

    def estimate(self, name: str, content: bytes, **fields: str) -> dict:
        response = self.door.upload(name, content, path=f"{JOBS}/estimate", **{"model": CLAUDE, **fields})
        assert response.status_code == 200, response.text
        return response.get_json()

    def buy(self, name: str, content: bytes, **fields: str) -> dict:
        job = self.door.upload(name, content, **{"model": CLAUDE, **fields}).get_json()
        wait_until(lambda: self.door.job(job)["status"] == "completed", seconds=120, what="the job has ended")
        return self.door.job(job)
