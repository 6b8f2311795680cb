"""One Penstock for all clients: real web, workers and Redis, and a simulated provider for each API."""

from collections.abc import Iterator

import pytest

from tests.clients.support.house import HANGING, REFUSED, House
from tests.support.openai_upstream import OpenAIUpstream
from tests.support.shared_stack import running_service
from tests.support.upstream import Upstream
from tests.support.web_process import web_process

FAULTS = [
    {"kind": "status", "status": 400, "matching": REFUSED},
    {"kind": "hang", "matching": HANGING},
    *(
        {"kind": "status", "status": status, "matching": f"Answer with {status}"}
        for status in (408, 409, 412, 413, 422, 429, 431, 499, 500, 501, 503, 504, 529)
    ),
]


@pytest.fixture(scope="module")  # its workers must not live beside another stack of the same Redis
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    with Upstream() as claude, OpenAIUpstream() as gpt:
        for provider in (claude, gpt):
            provider.configure(faults=FAULTS)
        spoken = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": gpt.url, "WEBHOOK_NETWORKS": "127.0.0.0/8"}
        with (
            running_service(request, claude, folder, **spoken) as service,
            web_process({}, folder) as web,
        ):
            yield House(service, web, folder)
