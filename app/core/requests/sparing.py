"""What of a submission need not be asked: what was answered before, and what it asks twice."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from app.core.requests import earlier_answers
from app.core.requests.earlier_answers import Earlier
from app.core.requests.first_asked import FirstAsked
from app.core.requests.request_digest import Digests
from app.ingest.draft import Defaults, Draft
from config import settings


@dataclass(frozen=True, slots=True)
class Spared:
    """Of a chunk of drafts, by their indices in the job."""

    answers: Sequence[Earlier] = ()
    copies: Mapping[int, int] = field(default_factory=dict)  # and the index of the one that asks the same
    digests: Mapping[int, bytes] = field(default_factory=dict)  # of what is asked, for later jobs


NOTHING = Spared()


@dataclass(frozen=True, slots=True)
class Sparing:
    """What a submission wants. `source`: the job whose answers it takes over; `days`: from any job."""

    tenant_id: int
    source: int | None = None
    days: int | None = None
    digests: Digests | None = None
    first_asked: FirstAsked | None = None  # finds what is asked twice; None: it is asked twice

    def find(self, session: Session, first: int, drafts: Sequence[Draft]) -> Spared:
        """What of `drafts`, the first of which has the index `first`, is not to be asked."""
        if self.source is not None:
            answers = earlier_answers.answers(session, self.source, first, drafts)
        else:
            answers = []
        if self.digests is None:
            return Spared(answers) if answers else NOTHING
        known = {answer.idx for answer in answers}
        found = ((idx, self.digests.of(draft)) for idx, draft in enumerate(drafts, start=first))
        digests = {idx: digest for idx, digest in found if digest is not None and idx not in known}
        if self.days is not None:
            answers += earlier_answers.recent(session, self.tenant_id, digests, self.days)
            for answer in answers:
                digests.pop(answer.idx, None)
        copies = self._copies(digests)
        asked = {} if self.days is None else {idx: one for idx, one in digests.items() if idx not in copies}
        return Spared(sorted(answers), copies, asked)

    def _copies(self, digests: Mapping[int, bytes]) -> dict[int, int]:
        if self.first_asked is None:
            return {}
        firsts = ((idx, self.first_asked.find(digest, idx)) for idx, digest in digests.items())
        return {idx: first for idx, first in firsts if first is not None}


@contextmanager
def wanted(
    tenant_id: int, defaults: Defaults, *, source: int | None, days: int | None, dedupe: bool
) -> Iterator[Sparing]:
    """For one reading of a submission's drafts, from the first to the last."""
    digests = Digests(defaults) if dedupe or days is not None else None
    with ExitStack() as until_then:
        first_asked = until_then.enter_context(FirstAsked(settings.current().data)) if dedupe else None
        yield Sparing(tenant_id, source, days, digests, first_asked)
