"""Drafts of jobs: kept with their files, found by their user alone, bounded, and gone when left alone."""

import io

import pytest
from sqlalchemy import select, update

from app.core.accounts import api_keys, quotas
from app.core.documents import files, job_drafts
from app.core.documents.job_drafts import MOST, Part
from app.errors import NotFound, TooLarge, TooMany
from models.base import now
from models.draft import JobDraft
from models.file import File
from models.session import in_transaction, reading
from tasks import sweep
from tests.support.front_door import Door

CONTENT = b"review\nGood.\n"


@pytest.fixture
def door(environment):
    return Door("drafts")


def of(door):
    with reading() as session:
        return api_keys.verify(session, door.key)


def keep(who, *contents, name="reviews.csv", **fields):
    parts = [Part(name, io.BytesIO(content), len(content)) for content in contents or [CONTENT]]
    return job_drafts.keep(
        who.tenant_id, who.tenant_uid, who.user_id, format="csv", parts=parts, fields=fields
    )


def find(who, draft):
    with reading() as session:
        return job_drafts.find(session, who.tenant_id, who.user_id, draft.uid)


def test_a_draft_is_found_as_it_was_left_by_its_user_alone(door):
    # Given a draft with what was typed
    mine, theirs = of(door), of(door.other("others"))
    draft = keep(mine, name="C:\\x\\rev\x00iews.csv", template="{{ review }}")

    # When more is typed
    job_drafts.change(mine.tenant_id, mine.user_id, draft.uid, fields={"template": "Sum up: {{ review }}"})

    # Then all of it is there, and the file
    found = find(mine, draft)
    assert (found.name, found.fields) == ("reviews.csv", {"template": "Sum up: {{ review }}"})
    with job_drafts.opened(mine.tenant_id, found) as content:
        assert content.read() == CONTENT
    # But not for others, and in no list of files
    with pytest.raises(NotFound, match="no such draft"):
        find(theirs, draft)
    with pytest.raises(NotFound):
        job_drafts.change(theirs.tenant_id, theirs.user_id, draft.uid, fields={})
    with reading() as session:
        listed = files.page(session, mine.tenant_id, after=None, limit=9, oldest_first=True, purpose=None)
    assert listed == []


def test_what_is_typed_has_a_limit(door):
    with pytest.raises(TooLarge, match="the limit is 1,000,000"):
        keep(of(door), template="x" * 1_000_001)


def test_a_user_has_twenty_drafts_and_the_one_left_alone_for_longest_goes(door):
    who = of(door)
    first, second = keep(who), keep(who)
    job_drafts.change(who.tenant_id, who.user_id, first.uid, fields={"template": "touched"})

    for _ in range(MOST - 1):
        keep(who)

    with pytest.raises(NotFound):
        find(who, second)
    assert find(who, first).fields == {"template": "touched"}


def test_the_sweep_removes_a_draft_that_was_left_alone_and_its_objects(door):
    # Given a draft of two files, left alone for a week
    who = of(door)
    draft, young = keep(who, CONTENT, CONTENT), keep(who)
    age(draft)

    # When the sweep runs
    found = [one.what for one in sweep.sweep_once()]

    # Then its objects are gone and another draft stays
    assert {"removed_drafts", "removed_files"} <= set(found)
    with reading() as session:
        left = session.scalars(select(File.uid).where(File.removed_at.is_(None))).all()
    assert [str(uid) for uid in left] == [file["uid"] for file in find(who, young).files]
    with pytest.raises(NotFound):
        find(who, draft)


def test_files_of_drafts_count_toward_the_quota_of_bytes(door):
    who = of(door)
    in_transaction(lambda session: quotas.change(session, who.tenant, {"bytes_per_hour": len(CONTENT) + 5}))
    keep(who)

    with pytest.raises(TooMany, match="bytes_per_hour"):
        keep(who)


def age(draft):
    def work(session):
        session.execute(
            update(JobDraft).where(JobDraft.uid == draft.uid).values(updated_at=now(-job_drafts.KEPT - 60))
        )

    in_transaction(work)
