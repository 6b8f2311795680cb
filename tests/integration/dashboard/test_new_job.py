"""From a dropped file to a submitted job, as a browser without scripts and one with them meets it."""

import io
import json
import re
import zipfile
from html import unescape

import openpyxl
import pytest
from sqlalchemy import select

from app.core.documents import job_drafts
from app.core.pipeline import lifecycle
from app.ingest import documents
from models.record import RecordInput
from models.session import in_transaction, reading
from tests.conftest import penstock_of_its_own
from tests.support.browser_client import Browser
from tests.support.documents import docx, pdf
from tests.support.front_door import JOBS, Door, Worker, number_of
from tests.support.other_sheets import ods, parquet_of, xlsb

NEW = "/ui/new"
CSV = b"id,review\n1,It came home.\n2,\n3,Too hot.\n4,It came home.\n"
HTMX = {"HX-Request": "true"}
KEY = {"ask": "prompt", "model": "simulated"}


@pytest.fixture(scope="module", params=["postgresql", pytest.param("sqlite", marks=pytest.mark.long)])
def house(request, tmp_path_factory):
    """One Penstock for all of these tests; each is a tenant of its own."""
    folder = tmp_path_factory.mktemp("new-job")
    with penstock_of_its_own(request.param, request, folder, DEFAULT_MODEL="simulated"):
        yield Door("house")


@pytest.fixture
def door(house, request):
    return house.other(request.node.name[:60])


@pytest.fixture
def browser(door):
    return Browser(door)


def archive_of(name: str) -> bytes:
    with zipfile.ZipFile(stream := io.BytesIO(), "w") as archive:
        archive.writestr(name, "x")
    return stream.getvalue()


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub("<[^>]*>", " ", html)).split())


def drop(browser, *files) -> str:
    """The path of the draft that dropped files lead to."""
    browser.get(NEW)
    parts = [(io.BytesIO(content), name) for name, content in files]
    response = browser.post(NEW, {"file": parts}, content_type="multipart/form-data")
    assert response.status_code == 303, text_of(response.text)
    browser.get(response.headers["Location"])
    return response.headers["Location"]


def sheets_of(html: str) -> list[tuple[str, bool]]:
    """The sheets that can be chosen, and whether each is."""
    chosen = re.search(r'<select id="sheet".*?</select>', html, re.DOTALL)
    assert chosen is not None
    return [(name, bool(is_on)) for is_on, name in re.findall(r"<option( selected)?>([^<]*)", chosen[0])]


def submitted(door, response) -> dict:
    assert response.status_code == 303, text_of(response.text)
    job = response.headers["Location"].rpartition("/")[2]
    return door.get(f"{JOBS}/{job}").get_json()


def test_a_sheet_is_dropped_previewed_quoted_and_submitted_without_a_script(door, browser):
    # Given a dropped sheet
    draft = drop(browser, ("reviews.csv", CSV))
    assert "Write a prompt" in text_of(browser.see(draft))

    # When a column is inserted by its button, and more is typed
    browser.follow(browser.post(draft, {**KEY, "template": "Sum up: ", "insert": "review"}))

    # Then the page has it as it will be asked, with its price, and still after a reload
    seen = text_of(browser.see(draft))
    assert "Sum up: {{ review }}" in seen
    assert "Row 2 Sum up: It came home. Row 4 Sum up: Too hot. Row 5 Sum up: It came home." in seen
    assert "Rows 3 1 ask the same as another 1 left out" in seen

    # And the job is that of the same form at the API, whose call is shown
    before = browser.see(draft)
    response = browser.post(
        draft, {**KEY, "template": "Sum up: {{ review }}", "max_tokens": "50", "action": "submit"}
    )
    job = submitted(door, response)
    assert "--form-string 'template=Sum up: {{ review }}'" in unescape(before)
    by_api = door.upload("reviews.csv", CSV, template="Sum up: {{ review }}", max_tokens="50").get_json()
    same = ("model", "max_tokens", "total", "skipped_rows", "warnings", "priority")
    assert {name: job[name] for name in same} == {name: by_api[name] for name in same}
    assert f"Batch submitted with ID {job['id']}" in browser.get(NEW).text
    # Whoever goes back, or presses the button again, comes to that job
    for again in (browser.get(draft), browser.post(draft, {"action": "submit"})):
        assert again.headers["Location"].endswith(job["id"])
    assert browser.post(draft, {"template": "x"}, headers=HTMX).status_code == 404


def test_what_is_typed_comes_back_as_a_part_of_the_page(browser):
    draft = drop(browser, ("reviews.csv", CSV.replace(b",", b";")))
    fields = {**KEY, "template": "{{ id }}", "separator": ";", "header_row": "1"}

    part = browser.post(draft, fields, headers=HTMX)

    assert part.headers["HX-Trigger"] == "typed"
    assert "<html" not in part.text
    assert 'id="result"' in part.text
    assert 'id="chips"' in part.text
    # A choice that fits nothing is told in its place
    wrong = browser.post(draft, {**fields, "header_row": "99"}, headers=HTMX)
    assert "the table ends before row 99" in wrong.text
    # Without a header the first row is one to ask
    without = browser.post(draft, {**fields, "template": "", "header_row": "0"}, headers=HTMX)
    assert "Row column 1 column 2 1 id review 2" in text_of(without.text)


def test_rows_are_tried_first_and_their_answers_taken_over(house, door, browser):
    # Given a draft whose first rows were asked
    lines = b"".join(b"%d,Review %d\n" % (n, n) for n in range(1, 9))
    draft = drop(browser, ("reviews.csv", b"id,review\n" + lines))
    fields = {**KEY, "template": "Sum up: {{ review }}"}
    assert browser.post(draft, {**fields, "action": "try"}).headers["Location"].endswith("#rows")
    assert browser.post(draft, {**fields, "action": "try"}).status_code == 303  # pressed twice
    [trial] = door.get(JOBS).get_json()["data"]
    assert (trial["name"], trial["total"]) == ("reviews.csv (first 5)", 5)
    assert 'hx-sse:connect="' in browser.see(draft)

    # When they are answered
    Worker().end(trial, range(5))
    in_transaction(
        lambda session: lifecycle.complete(session, lifecycle.find(session, door.tenant_id, trial["id"]))
    )

    # Then the answers stand beside their rows, and what all cost
    seen = browser.see(draft)
    assert seen.count("Good.") == 5
    assert "5 rows were answered" in text_of(seen)
    assert "hx-sse:connect" not in seen
    assert re.search(r"5 rows cost \$\S+; all 8 about", text_of(browser.see(f"{draft}/quote")))
    # A change is told, and the job pays for no answer twice
    browser.post(draft, {**fields, "system": "Be brief."})
    assert "try again" in text_of(browser.see(draft))
    job = submitted(door, browser.post(draft, {**fields, "action": "submit"}))
    assert (job["total"], job["reused"]) == (8, 5)


def test_faults_stand_beside_their_rows_and_nothing_typed_is_lost(door, browser):
    draft = drop(browser, ("reviews.csv", b"id,review\n1,fine\n2,a,b\n3,ok\n"))
    fields = {**KEY, "template": "<b>{{ review }}", "max_cost": "much", "name": "mine"}

    refused = browser.post(draft, {**fields, "action": "submit"})
    assert refused.status_code == 422
    assert 'give dollars such as "2.50"' in unescape(refused.text)

    refused = browser.post(draft, {**fields, "max_cost": "2", "action": "submit"})

    assert refused.status_code == 422
    assert 'href="#row-3"' in refused.text
    row = re.search(r'<tr id="row-3".*?</tr>', refused.text, re.DOTALL)
    assert row is not None
    assert "The row has 3 cells" in text_of(row[0])
    assert "&lt;b&gt;{{ review }}" in browser.see(draft)
    assert 'value="mine"' in browser.see(draft)
    assert door.get(JOBS).get_json()["data"] == []


def test_a_workbook_is_read_as_chosen_and_keeps_its_form(door, browser):
    book = openpyxl.Workbook()
    for row in (["title"], ["Kettle"]):
        book.active.append(row)
    more = book.create_sheet("More")
    for row in (["About"], ["review"], ["Good."], ["Bad."]):
        more.append(row)
    more.row_dimensions[4].hidden = True
    book.save(stream := io.BytesIO())
    draft = drop(browser, ("book.xlsx", stream.getvalue()))
    fields = {**KEY, "template": "{{ review }}", "sheet": "More", "header_row": "2", "visible_only": "true"}

    # The sheets stay in their order: a browser keeps the place of what was chosen, not its name
    assert sheets_of(browser.see(draft)) == [("Sheet", True), ("More", False)]
    chosen = browser.post(draft, fields, headers=HTMX).text
    assert sheets_of(chosen) == [("Sheet", False), ("More", True)]
    assert 'is read; the workbook also has "Sheet": choose it above.' in text_of(chosen)

    job = submitted(door, browser.post(draft, {**fields, "action": "submit"}))

    assert job["total"] == 1
    assert any("hidden" in warning for warning in job["warnings"])
    sheet = openpyxl.load_workbook(io.BytesIO(door.get(f"{JOBS}/{job['id']}/results?format=xlsx").data))
    assert sheet.sheetnames == ["Sheet", "More"]


@pytest.mark.parametrize("cover", [[], ["Survey of 2025", "see the next sheet"]])
def test_a_sheet_with_rows_is_found_behind_a_cover(browser, cover):
    book = openpyxl.Workbook()
    book.active.append(cover)
    book.create_sheet("Lists").sheet_state = "hidden"
    for name in ("Lists", "More"):
        more = book[name] if name in book.sheetnames else book.create_sheet(name)
        for row in ([f"{name} of May"], ["id", "review"], [1, "Good."], [2, "Bad."]):
            more.append(row)
    book.save(stream := io.BytesIO())

    seen = browser.see(drop(browser, ("book.xlsx", stream.getvalue())))

    assert sheets_of(seen) == [("Sheet", False), ("Lists", False), ("More", True)]
    assert re.search(r'id="header_row"[^>]* value="2"', seen)


@pytest.mark.parametrize("name", ["کتاب\u200cها", "क्\u200dष", "👩\u200d💻"])
def test_a_name_keeps_what_joins_its_letters(door, browser, name):
    draft = drop(browser, (f"{name}.csv", CSV))
    first = submitted(door, browser.post(draft, {**KEY, "template": "{{ review }}", "action": "submit"}))
    assert first["name"] == f"{name}.csv"

    again = drop(browser, ("b.csv", CSV))
    fields = {**KEY, "name": name, "template": "{{ review }}", "action": "submit"}
    assert submitted(door, browser.post(again, fields))["name"] == name
    assert name in browser.see(f"/ui/jobs?q={name}")
    assert browser.get(f"/ui/jobs/{first['id']}/results.csv").status_code == 200


def test_fields_of_the_answer_become_its_schema(door, browser):
    draft = drop(browser, ("reviews.csv", CSV))
    fields = {**KEY, "template": "{{ review }}", "answer_name": ["mood", "stars", ""]}

    wrong = browser.post(draft, {**fields, "answer_kind": ["good |", "", ""], "action": "submit"})
    assert "a choice is empty" in wrong.text

    right = {**fields, "answer_kind": ["good | bad", "1..5", ""], "action": "try"}
    assert browser.post(draft, right).status_code == 303
    assert 'value="good | bad"' in browser.see(draft)


def test_an_operation_is_asked_of_a_column(door, browser):
    draft = drop(browser, ("reviews.csv", CSV))
    fields = {"ask": "operation", "model": "simulated", "operation": "sentiment", "column": "review"}

    assert "Judge the sentiment" in browser.post(draft, fields, headers=HTMX).text
    job = submitted(door, browser.post(draft, {**fields, "action": "submit"}))

    assert (job["total"], job["skipped_rows"]) == (3, [3])


def test_a_sheet_of_questions_is_a_chat_batch_from_the_start(door, browser):
    sheet = b"chatId,REDACTEDQUESTION,URL\na,How?,https://x.org\na,And then?,\nb,When?,\n"
    draft = drop(browser, ("questions.csv", sheet))
    assert "Row 2 How? Row 3 And then? Row 4 When?" in text_of(browser.see(draft))
    fields = {"ask": "chat", "provider": "simulated", "lang": "fr", "name": "frage", "action": "submit"}

    job = submitted(door, browser.post(draft, fields))

    status = door.get(f"/api/batch/status?batchId={job['id']}").get_json()
    assert (status["name"], status["totalItems"], status["pageLanguage"]) == ("frage", 3, "fr")


def test_pasted_texts_are_a_sheet_and_several_files_are_documents(door, browser):
    browser.get(NEW)
    pasted = browser.post(
        NEW, {"text": "one\r\n\r\ntwo\r\nlines", "parted": "blank lines"}, content_type="multipart/form-data"
    )
    draft = pasted.headers["Location"]
    browser.get(draft)
    job = submitted(door, browser.post(draft, {**KEY, "template": "{{ text }}", "action": "submit"}))
    assert job["total"] == 2

    draft = drop(browser, ("a.pdf", pdf(1)), ("b.docx", docx("plain")))
    job = submitted(door, browser.post(draft, {**KEY, "template": "Sum it up", "action": "submit"}))
    assert job["total"] == 2


def test_documents_with_fields_alone_are_read(door, browser):
    draft = drop(browser, ("a.pdf", pdf(2)), ("b.docx", docx("plain")))
    job = submitted(
        door, browser.post(draft, {**KEY, "answer_name": "due", "answer_kind": "date", "action": "submit"})
    )

    with reading() as session:
        bodies = session.scalars(select(RecordInput.body).where(RecordInput.job_id == number_of(job)))
        found = [documents.read(body) for body in bodies]
    assert {(one.media_type, one.pages) for one in found} == {("application/pdf", 2), ("text/plain", None)}


def test_a_single_text_is_lines_of_a_sheet_or_one_document(door, browser):
    draft = drop(browser, ("letter.txt", b"Dear all,\nhow are you?\n"))
    assert "Dear all" in browser.see(draft)

    browser.follow(browser.post(draft, {**KEY, "template": "Sum it up", "action": "document"}))

    job = submitted(door, browser.post(draft, {**KEY, "template": "Sum it up", "action": "submit"}))
    assert (job["total"], job["name"]) == (1, "letter.txt")


def test_json_lines_show_what_they_ask(door, browser):
    lines = b"".join(json.dumps({"prompt": f"Say {n}"}).encode() + b"\n" for n in range(3))
    draft = drop(browser, ("asked.jsonl", lines))

    assert "1 Say 0 2 Say 1 3 Say 2" in text_of(browser.see(draft))
    assert submitted(door, browser.post(draft, {**KEY, "action": "submit"}))["total"] == 3


def test_a_draft_is_its_users_alone_and_can_be_removed(door, browser):
    draft = drop(browser, ("reviews.csv", CSV))
    colleague = Browser(door.colleague("bob"))

    assert "reviews.csv" in browser.see(NEW)
    assert "reviews.csv" not in colleague.see(NEW)
    for path in (draft, f"{draft}/quote", f"{draft}/rows"):
        assert colleague.get(path).status_code == 404
    assert colleague.post(draft, {"template": "mine"}).status_code == 404

    browser.follow(browser.post(f"{draft}/remove"))
    assert browser.get(draft).status_code == 404


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("empty.csv", b"", '"empty.csv" is empty'),
        ("letter.xlsx", b"PK\x03\x04 word/document.xml", "Word document"),
        ("page.csv", b"<html>", "web page"),
        ("photo.heic", b"x", '"photo.heic" is in no format that can be read: save it as CSV'),
        ("letter.doc", b"PK", '"letter.doc" is in no format'),
        ("notes.xlsx", archive_of("notes.txt"), '"notes.xlsx": it is a ZIP archive'),
    ],
)
def test_a_file_that_cannot_be_read_is_told_on_the_page(browser, name, content, told):
    browser.get(NEW)

    refused = browser.post(NEW, {"file": (io.BytesIO(content), name)}, content_type="multipart/form-data")

    assert refused.status_code == 422
    assert told in text_of(refused.text)
    assert "data-drop" in refused.text


def test_a_table_that_cannot_be_understood_can_still_be_chosen_of(browser):
    draft = drop(browser, ("reviews.csv", b"\n" * 5 + b"id,review\n1,fine\n"))
    assert "Row 1 is empty" in text_of(browser.see(draft))

    seen = browser.post(draft, {**KEY, "header_row": "6", "template": "{{ review }}"}, headers=HTMX)

    assert "Row 7 fine" in text_of(seen.text)


def test_a_header_below_a_title_is_found(browser):
    draft = drop(browser, ("reviews.csv", b"\nReviews of May,,\nid,review,stars\n1,fine,5\n2,ok,3\n"))

    seen = browser.see(draft)

    assert 'value="3" placeholder="1"' in seen
    assert 'data-place="{{ stars }}"' in seen


def test_a_header_below_a_title_is_found_though_it_cannot_be_read(browser):
    draft = drop(browser, ("reviews.csv", b"Reviews of May,,\n,,\nid,review,review\n1,fine,5\n"))

    seen = browser.see(draft)

    assert 'value="3" placeholder="1"' in seen
    assert 'the columns 2 and 3 are both called "review"' in text_of(seen)


def test_what_cannot_be_asked_is_said_in_the_words_of_the_page(browser):
    draft = drop(browser, ("reviews.csv", CSV))
    assert "No price yet: write a prompt first" in text_of(browser.see(f"{draft}/quote"))

    def told(**fields: str) -> str:
        browser.post(draft, {**KEY, **fields}, headers=HTMX)
        return text_of(browser.see(f"{draft}/quote"))

    assert 'the prompt uses "rview"; the columns are "id", "review"' in told(template="{{ rview }}")
    assert "the prompt, line 1: a “{{” has no “}}” that closes it" in told(template="{{ review")
    assert "Longest answer: give a whole number" in told(template="{{ review }}", max_tokens="many")


def test_every_bad_line_is_told_at_once(browser):
    draft = drop(browser, ("asked.jsonl", b'{"prompt": "a"}\n{"promt": "b"}\nno JSON\n'))

    seen = text_of(browser.see(draft))

    assert "line 2 : " in seen
    assert "line 3 : not JSON" in seen
    assert "nothing was stored" not in seen


def test_a_typed_text_has_a_limit_that_the_page_tells(browser):
    draft = drop(browser, ("reviews.csv", CSV))

    refused = browser.post(draft, {**KEY, "template": "x" * (job_drafts.MAX_FIELD_BYTES + 1)}, headers=HTMX)

    assert refused.status_code == 413
    assert "the limit is 1,000,000" in refused.text


def test_a_job_of_the_page_asks_once_reuses_and_tries_first(door, browser):
    draft = drop(browser, ("reviews.csv", CSV))
    wishes = {"dedupe": "true", "reuse": "30", "try_first": "1"}
    fields = {**KEY, "template": "{{ review }}", **wishes, "action": "submit"}

    wrong = browser.post(draft, {**fields, "reuse": "400"})
    assert "give a number of days" in wrong.text

    job = submitted(door, browser.post(draft, fields))
    assert (job["try_first"], job["saved"]["reuse"]["records"]) == (1, 0)
    assert browser.get(f"/ui/jobs/{job['id']}").status_code == 200


SHEET = [["id", "text"], [1, "It came home."], [2, "Too hot."]]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.ods", ods(SHEET)),
        ("a.xlsb", xlsb(SHEET)),
        ("a.parquet", parquet_of({"id": [1, 2], "text": ["It came home.", "Too hot."]})),
        ("a.json", b'[{"text": "It came home."}, {"text": "Too hot."}]'),
    ],
)
def test_a_sheet_of_another_kind_is_previewed_and_submitted_alike(door, browser, name, content):
    draft = drop(browser, (name, content))
    browser.follow(browser.post(draft, {**KEY, "template": "Judge: {{ text }}", "action": "preview"}))

    shown = text_of(browser.see(draft))
    assert "Judge: It came home." in shown
    job = submitted(door, browser.post(draft, {**KEY, "template": "Judge: {{ text }}", "action": "submit"}))
    assert job["total"] == 2
