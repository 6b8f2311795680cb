"""A claimed record, and what its call needs."""

from dataclasses import dataclass, field

from app.core.requests.build import Turn


@dataclass(slots=True)
class Claim:
    """One record in this process's hands. Writes for it are fenced by (record, lease, attempt)."""

    job_id: int
    idx: int
    lease_id: int
    attempt: int  # the number of the call that may leave now
    tries: int  # failures of its own so far
    request_bytes: int  # of its call, the conversation's earlier turns included
    max_tokens: int | None
    conversation: int | None
    keep: str | None = None  # for how long its provider keeps what the job's records share; None: not at all
    is_followed: bool = False  # by another turn of its conversation
    reserved: int | None = None  # pico-dollars, under a cap: what its call may cost at most
    body: bytes = b""
    held_bytes: int = 0  # of memory that its request takes
    history: list[Turn] = field(default_factory=list)

    def in_log(self) -> dict[str, int]:
        """What a line about its call names besides the job, which the slice's thread has bound."""
        return {"index": self.idx, "attempt": self.attempt}
