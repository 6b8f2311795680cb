"""Forms that would take many times their size: refused before they are paid for, and nothing is kept."""

import io
import tracemalloc

import pytest
from werkzeug.datastructures import FileStorage
from werkzeug.test import encode_multipart

from app.web import capacity
from tests.conftest import penstock_of_its_own
from tests.support.browser_client import Browser
from tests.support.front_door import Door

NEW = "/ui/new"
TYPED = "application/x-www-form-urlencoded"
MEMORY = 60_000_000  # bytes at once


@pytest.fixture(scope="module")
def browser(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("large-forms")
    with penstock_of_its_own("sqlite", request, folder, DEFAULT_MODEL="simulated"):
        yield Browser(Door())


@pytest.fixture(scope="module")
def draft(browser):
    browser.get(NEW)
    sheet = (io.BytesIO(b"review\nGood\n"), "a.csv")
    dropped = browser.post(NEW, {"file": sheet}, content_type="multipart/form-data")
    browser.see(dropped.headers["Location"])
    return dropped.headers["Location"]


@pytest.mark.parametrize(
    "bomb", [b"a&" * 500_000, b"template=" + b"%41" * 4_000_000], ids=["many fields", "one that is large"]
)
def test_a_form_that_would_take_many_times_its_size_is_refused(browser, draft, bomb):
    body = b"csrf_token=%b&%b" % (browser.token.encode(), bomb)

    tracemalloc.start()
    refused = browser.client.post(draft, data=body, content_type=TYPED)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert refused.status_code == 413
    assert "send less at once" in refused.text
    assert peak < MEMORY


def test_a_large_form_is_read_in_one_of_the_few_places(browser, draft):
    # Given that all of them are taken by others
    few = browser.client.application.extensions["few"]
    assert all(few.take(number) for number in range(-capacity.FEW, 0))
    try:
        large = browser.post(draft, {"template": "x" * 1_050_000})
        small = browser.post(draft, {"template": "x"})
    finally:
        for number in range(-capacity.FEW, 0):
            few.give_back(number)

    assert (large.status_code, small.status_code) == (503, 303)


def test_more_than_can_be_pasted_is_to_be_dropped_as_a_file(browser):
    browser.get(NEW)
    boundary, body = encode_multipart({"csrf_token": browser.token, "text": "x\n" * 600_000})
    refused = browser.client.post(NEW, data=body, content_type=f'multipart/form-data; boundary="{boundary}"')
    assert refused.status_code == 413
    assert "save them as a file" in refused.text


@pytest.mark.parametrize("path", ["/ui/new", "/api/v1/jobs"])
def test_texts_beside_a_file_take_a_bounded_amount_of_memory_together(browser, path):
    # Given a form of many texts, each as large as one may be
    browser.get(NEW)
    texts = {f"field {number}": "x" * 15_000_000 for number in range(12)}
    sheet = (io.BytesIO(b"review\nGood\n"), "a.csv")
    boundary, body = encode_multipart({"csrf_token": browser.token, **texts, "file": sheet})

    # When it is sent
    headers = {} if path == NEW else Door().headers
    tracemalloc.start()
    kind = f'multipart/form-data; boundary="{boundary}"'
    refused = browser.client.post(path, data=body, content_type=kind, headers=headers)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    # Then it is given up after the first of them
    assert refused.status_code == 413
    assert peak < MEMORY


def test_files_of_any_size_are_no_texts(browser):
    browser.get(NEW)
    sizes = (1, 17_000_000, 2)
    files = [FileStorage(io.BytesIO(b"%PDF-1.4\n" + b"x" * size), f"{size}.pdf") for size in sizes]
    boundary, body = encode_multipart({"csrf_token": browser.token, "file": files})
    dropped = browser.client.post(NEW, data=body, content_type=f'multipart/form-data; boundary="{boundary}"')
    assert dropped.status_code == 303, dropped.text
