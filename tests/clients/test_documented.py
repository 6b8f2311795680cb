"""docs/clients.md names each client as it is tried here, and what it wants outside."""

import json
import re

import pytest

from tests.clients.support.environments import PINS, ROOT
from tests.clients.support.house import OUTSIDE

TEXT = (ROOT / "docs" / "clients.md").read_text()
NOT_CLIENTS = {"typescript", "zod"}


def tried():
    """The packages that are tried, with their versions."""
    asked = [line for path in sorted(PINS.glob("*.in")) for line in path.read_text().split()]
    pinned = {tuple(re.sub(r"\[.*?\]", "", one).split("==")) for one in asked if "==" in one}
    dependencies = json.loads((PINS / "node" / "package.json").read_text())["dependencies"]
    return sorted(pinned | {pair for pair in dependencies.items() if pair[0] not in NOT_CLIENTS})


@pytest.mark.parametrize(("name", "version"), tried())
def test_every_client_is_named_with_the_version_that_was_tried(name, version):
    assert re.search(rf"\| `{re.escape(name)}` [^|]*\|[^|]*\b{re.escape(version)}\b", TEXT)


def test_every_host_that_a_client_asks_for_is_named():
    for client, hosts in OUTSIDE.items():
        rows = [line for line in TEXT.splitlines() if line.startswith(f"| {client} ")]
        assert len(rows) == 1, client
        assert all(f"`{host}`" in rows[0] for host in hosts)
