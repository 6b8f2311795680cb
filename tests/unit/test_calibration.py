"""What answers say about the next ones."""

import uuid
from dataclasses import replace
from datetime import date

import pytest

from app.core.money import estimate
from app.core.money.calibration import SAME_MODEL, SAME_REQUEST, Sample, by_default, from_samples
from app.core.money.pricing import price_at
from app.ingest.draft import ENVELOPE_BYTES, Defaults, Draft
from app.ingest.tally import Tally
from app.providers.client import Tokens

JOB = uuid.uuid4()
SAMPLE = Sample(content_bytes=400, tokens=Tokens(input_tokens=100, output_tokens=20), searches=0, seconds=1.0)
TODAY = date(2026, 11, 23)


def tally_of(*sizes: int, max_tokens: int = 1_000) -> Tally:
    tally = Tally(Defaults("claude-haiku-4-5", max_tokens), None)
    for number, size in enumerate(sizes):
        tally.add(Draft(b'{"prompt":"%d"}' % number, size + ENVELOPE_BYTES))
    return tally


def test_requests_of_other_sizes_are_reckoned_with_the_part_that_each_has():
    # Given requests of 12 tokens and one more for each 4 bytes
    sizes = range(40, 440, 10)
    samples = [
        replace(SAMPLE, content_bytes=size, tokens=Tokens(12 + size // 4, 20))
        for size in sizes
        if size % 4 == 0
    ]
    # When much larger ones are asked
    calibration = from_samples(samples, JOB, SAME_REQUEST, 1_000)
    # Then
    assert estimate.input_tokens(calibration, tally_of(4_000, 8_000))["likely"] == 2 * 12 + 3_000


@pytest.mark.parametrize("count", [1, 3, 50])
def test_without_sizes_to_compare_tokens_go_with_bytes(count):
    calibration = from_samples([SAMPLE] * count, JOB, SAME_REQUEST, 1_000)
    assert estimate.input_tokens(calibration, tally_of(800)) == {"low": 200, "likely": 200, "high": 200}


def test_outputs_go_from_the_shortest_to_the_longest_twentieth_with_the_mean_between():
    samples = [replace(SAMPLE, tokens=Tokens(100, number)) for number in range(1, 101)]
    found = estimate.output(from_samples(samples, JOB, SAME_REQUEST, 1_000), tally_of(400, 400))
    assert found == {"low": 12, "likely": 101, "high": 190}


def test_answers_of_another_request_or_cut_ones_do_not_say_how_long_an_answer_may_be():
    other = from_samples([SAMPLE] * 30, JOB, SAME_MODEL, 1_000)
    cut = from_samples([SAMPLE] * 30, JOB, SAME_REQUEST, 20)
    assert estimate.output(other, tally_of(400)) == {"low": 5, "likely": 20, "high": 1_000}
    assert estimate.output(cut, tally_of(400)) == {"low": 20, "likely": 20, "high": 1_000}


def test_no_answer_is_reckoned_longer_than_it_may_be():
    calibration = from_samples([SAMPLE] * 30, JOB, SAME_REQUEST, 1_000)
    assert estimate.output(calibration, tally_of(400, max_tokens=8)) == {"low": 8, "likely": 8, "high": 8}
    assert estimate.output(by_default("claude-opus-5"), tally_of(400, max_tokens=2))["low"] == 2


def test_newer_tokenizers_make_more_tokens():
    older, newer = by_default("claude-opus-4-6"), by_default("claude-opus-4-7")
    assert newer.line.per_byte == pytest.approx(1.3 * older.line.per_byte)
    assert by_default("claude-haiku-4-5").line == older.line
    assert by_default("claude-sonnet-5").line == newer.line


def test_each_kind_of_input_is_paid_at_its_own_price_and_searches_too():
    # Given calls of which nine tenths of the input came from the cache, with half a search each
    price = price_at("claude-haiku-4-5", TODAY)
    cached = replace(SAMPLE, tokens=Tokens(10, 20, cache_read_tokens=90))
    samples = [replace(cached, searches=number % 2) for number in range(30)]
    calibration = from_samples(samples, JOB, SAME_REQUEST, 1_000)
    tally = tally_of(400, 400)
    # When
    cost = estimate.cost(price, {}, tally, calibration, estimate.output(calibration, tally))
    # Then two calls: 20 tokens at $1, 180 at $0.10, 40 out at $5, for a million; a search at $0.01
    assert cost["likely"] == 20 * 10**6 + 180 * 10**5 + 40 * 5 * 10**6 + 10**10


def test_long_prompts_are_paid_at_the_dearer_rate_and_only_they():
    price = price_at("claude-haiku-5-5", TODAY)
    calibration = from_samples([SAMPLE] * 30, JOB, SAME_REQUEST, 1_000)
    tally = tally_of(400, 800_000)  # of 100 and of 200,000 tokens
    cost = estimate.cost(price, {}, tally, calibration, {"low": 0, "likely": 0, "high": 0})
    assert cost["likely"] == 100 * 100_000 + 200_000 * 500_000
