"""A browser without an engine: cookies, the tokens of forms and the HTML of pages, by Flask's own client."""

import re
from collections.abc import Mapping
from typing import Any

from werkzeug.test import TestResponse

from tests.support.front_door import Door

TOKEN = re.compile(r'name="csrf_token" value="([0-9a-f]{64})"')
SIGN_IN = "/ui/sign-in"


class Browser:
    """A browser at `door`; it has signed in with the door's key unless `key` is another one, or ""."""

    def __init__(self, door: Door, key: str | None = None) -> None:
        self.client = door.app.test_client()
        self.token = ""
        if key != "":
            signed_in = self.sign_in(door.key if key is None else key)
            assert signed_in.status_code == 303, signed_in.text

    def sign_in(self, key: str, **fields: str) -> TestResponse:
        self.get(SIGN_IN)
        response = self.post(SIGN_IN, {"key": key, **fields})
        self.token = ""
        return response

    def get(self, path: str, **request: Any) -> TestResponse:
        response = self.client.get(path, **request)
        found = TOKEN.search(response.text) if response.mimetype == "text/html" else None
        self.token = found[1] if found else self.token
        return response

    def see(self, path: str) -> str:
        """The HTML of a page that is there."""
        response = self.get(path)
        assert response.status_code == 200, response.text
        return response.text

    def post(self, path: str, fields: Mapping[str, Any] | None = None, **request: Any) -> TestResponse:
        """Send a form with the token of the page that was seen last."""
        if not self.token:
            self.get("/ui/jobs")
        return self.client.post(path, data={"csrf_token": self.token, **(fields or {})}, **request)

    def follow(self, response: TestResponse) -> str:
        """The HTML of the page that a form led to."""
        assert response.status_code == 303, response.text
        return self.see(response.headers["Location"])
