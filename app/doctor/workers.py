"""The workers that answer: their queues, whether they could make calls, and their clocks."""

import time
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from app.core.monitoring import broker
from app.doctor import clocks
from app.doctor.finding import Finding, ok, warning, wrong
from app.providers import registry
from config import settings
from tasks.celery import app
from tasks.inspection import COMMAND

SUBJECTS = ("workers", "worker clocks")
REMEDY = "fix the broker first: workers can only be reached through it"
ANSWER = 2.0  # seconds that workers have to answer
POOL = "celery.concurrency.thread"
HOW_TO_START = {
    broker.CONTROL: "`celery --app tasks worker --queues control`",
    broker.SLICES: "`celery --app tasks worker --queues slices`",
}

Response = Mapping[str, Any]


def look() -> Iterator[Finding]:
    broker.reach()  # fail quickly: what follows would wait for a broker for as long as it is down
    answers = ask()
    responses = {node: answer for node, (answer, _, _) in answers.items() if "time" in answer}
    for node in sorted(answers.keys() - responses.keys()):
        yield warning("workers", f"{node} does not support inspection", "restart it with this release")
    for queue in broker.QUEUES:
        yield _served(queue, responses)
    for node, answer in sorted(responses.items()):
        yield from _complaints(node, answer)
    drifts = [
        clock
        for node, (answer, sent, heard) in sorted(answers.items())
        if node in responses
        for clock in [clocks.compared("worker clocks", f"{node}'s", answer["time"], sent, heard)]
    ]
    yield from [clock for clock in drifts if clock.remedy] or drifts[:1]


def ask() -> dict[str, tuple[Response, float, float]]:
    """The reports of all workers that answer, with this machine's clock before the question and at the
    answer.
    """
    sent = time.time()
    answers: dict[str, tuple[Response, float, float]] = {}

    def hear(answer: Mapping[str, Response]) -> None:
        answers.update({node: (response, sent, time.time()) for node, response in answer.items()})

    app.control.broadcast(COMMAND, reply=True, timeout=ANSWER, callback=hear)
    return answers


def _served(queue: str, responses: Mapping[str, Response]) -> Finding:
    nodes = sorted(node for node, answer in responses.items() if queue in answer["queues"])
    if not nodes:
        remedy = f"start one: `penstock up`, or {HOW_TO_START[queue]} (README, Running it in production)"
        return wrong("workers", f"no worker that answers serves the queue {queue}", remedy)
    return ok("workers", f"{queue} is served by {', '.join(nodes)}")


def _complaints(node: str, response: Response) -> Iterator[Finding]:
    ours = settings.current()
    if not set(response["queues"]) & set(broker.QUEUES):
        yield warning(
            "workers",
            f"{node} serves {', '.join(response['queues'])}: nothing is sent there",
            "leave --queues out, or give it one of ours",
        )
    if response["pool"] != POOL:
        yield wrong("workers", f"{node} runs the pool {response['pool']}", "start it without --pool")
    if response["version"] != version("penstock"):
        text = f"{node} is release {response['version']}, this one is {version('penstock')}"
        yield warning("workers", text, "restart it once the new release is installed everywhere")
    if broker.SLICES in response["queues"]:
        missing = {provider.name for provider in registry.ready(ours)} - set(response["providers"])
        for provider in sorted(missing):
            text = f"{node} cannot call {provider}, but this machine can"
            yield wrong("workers", text, "give every process the same environment, and restart it")
