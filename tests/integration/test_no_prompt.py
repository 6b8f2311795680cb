"""Fields alone: a sheet or documents without a prompt are asked for what the fields name."""

import base64
import json

import pytest

from app.ingest.sheets.default_prompts import OF_DOCUMENT, asked, of_row
from app.ingest.templates import compile_template
from models.job import JobSpec
from models.session import reading
from tests.support.front_door import JOBS, Door, number_of

pytestmark = pytest.mark.one_database

FIELDS = json.dumps(["sentiment: positive | negative", "score: 1..5"])
SHEET = b"Review ID,Text,Shop\n1,Fine.,Bern\n2,Broken.,\n3,Fine.,Bern\n"


@pytest.fixture
def door(environment) -> Door:
    return Door()


def test_rows_are_asked_by_what_they_say_and_equal_ones_once(door):
    quote = door.upload("r.csv", SHEET, path=f"{JOBS}/estimate", fields=FIELDS, dedupe="true").get_json()
    assert quote["first_prompt"] == (
        "Fill in the fields of the answer from this row of a table.\n\nText: Fine.\nShop: Bern\n"
    )
    assert (quote["records"], quote["copies"]) == (2, 1)
    assert any('"Text", "Shop"' in note for note in quote["warnings"])

    job = door.upload("r.csv", SHEET, fields=FIELDS, dedupe="true").get_json()
    assert job["saved"]["dedupe"]["records"] == 1


def test_without_fields_a_sheet_still_needs_a_prompt(door):
    assert "needs a template" in door.upload("r.csv", SHEET).text


def test_a_title_above_the_header_is_no_column(door):
    refused = door.upload("r.csv", b"Our reviews,\n,\n" + SHEET, fields=FIELDS)
    assert "is the header in row 3? Then give header_row=3" in refused.get_json()["error"]["message"]
    assert (
        door.upload("r.csv", b"Our reviews,\n,\n" + SHEET, fields=FIELDS, header_row="3").status_code == 202
    )


def test_documents_are_asked_for_the_fields(door):
    document = base64.b64encode(b"Invoice of ACME").decode()

    job = door.submit([{"document": document}], fields=json.loads(FIELDS))

    assert job["model"] == "simulated"  # it is not only stored
    with reading() as session:
        assert session.get_one(JobSpec, number_of(job)).prompt == OF_DOCUMENT


def test_any_name_of_a_column_makes_a_template():
    names = ["id", 'a "b" c', "{{ x }}", "100 %", "# of cats", "Größe", "orderId", "No."]

    assert asked(names) == names[1:6]
    assert asked(["id", "nr"]) == ["id", "nr"]
    shown = compile_template(of_row(names)).render({name: f"<{name}>" for name in names})
    for name in names[1:6]:
        assert f"<{name}>" in shown
    assert "<id>" not in shown
