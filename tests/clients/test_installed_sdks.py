"""The short form of this folder, with the suite: the two SDKs that are installed beside Penstock."""

import pytest


@pytest.mark.parametrize("script", ["anthropic_sdk", "openai_sdk"])
def test_every_object_of_every_call_is_what_the_sdk_declares(house, script):
    # The script compares each with its type, strictly, and ends with an error where one does not fit.
    assert house.here(script, **house.tenant())
