"""The same client for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from penstock_client import flows, transport
from penstock_client.case import Case
from penstock_client.errors import JobStopped, PenstockError
from penstock_client.objects import Answer, Job, Quote
from penstock_client.order import Asked, Order
from penstock_client.wire import Call, Flow, Got, refusal

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")


class AsyncPenstock:
    """`Penstock` with `await`; see there for what everything does."""

    def __init__(self, url: str | None = None, key: str | None = None, *, patience: float = 600) -> None:
        self._contact = transport.contact(url, patience)
        self._http = httpx.AsyncClient(**transport.settings(self._contact, key))

    async def run(
        self,
        rows: Any,
        prompt: str | None = None,
        *,
        again: bool = False,
        progress: bool | None = None,
        **asked: Unpack[Asked],
    ) -> AsyncRun:
        order = await asyncio.to_thread(Order, rows, prompt, asked)  # it may have a million rows
        raw = await self._do(flows.submitted(self._contact, order, again=again))
        return AsyncRun(self, Case(self._contact, raw, order, progress))

    async def estimate(self, rows: Any, prompt: str | None = None, **asked: Unpack[Asked]) -> Quote:
        order = await asyncio.to_thread(Order, rows, prompt, asked)
        return Quote.of(await self._do(flows.estimated(self._contact, order)))

    async def jobs(self) -> AsyncIterator[Job]:
        cursor: str | None = None
        while True:
            page = await self._do(flows.page(self._contact, cursor))
            for raw in page["data"]:
                yield Job.of(raw)
            cursor = page["next_cursor"]
            if cursor is None:
                return

    async def job(self, id: str) -> Job:
        return Job.of(await self._do(flows.shown(self._contact, id)))

    async def answers(self, job: Job | str, *, progress: bool | None = None) -> AsyncRun:
        id = job if isinstance(job, str) else job.id
        raw = await self._do(flows.shown(self._contact, id))
        return AsyncRun(self, Case(self._contact, raw, None, progress))

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> AsyncPenstock:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"AsyncPenstock({self._contact.url!r})"

    async def _do(self, flow: Flow[T]) -> T:
        try:
            step = next(flow)
            while True:
                got: Got = None
                if isinstance(step, Call):
                    got = await self._send(step)
                else:
                    await asyncio.sleep(step)
                step = flow.send(got)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _send(self, call: Call) -> Got:
        timeout, more = transport.timeout(call), call.arguments()
        try:
            return transport.reply(await self._http.request(call.method, call.path, timeout=timeout, **more))
        except httpx.RequestError as error:
            return transport.unreachable(self._contact, error)

    @asynccontextmanager
    async def _stream(self, call: Call) -> AsyncIterator[AsyncIterator[bytes]]:
        timeout, more = transport.timeout(call), call.arguments()
        try:
            async with self._http.stream(call.method, call.path, timeout=timeout, **more) as response:
                if not response.is_success:
                    await response.aread()
                    raise refusal(transport.reply(response))
                yield response.aiter_bytes()
        except httpx.RequestError as error:
            raise transport.unreachable(self._contact, error) from error


class AsyncRun:
    """`Run` with `await`; see there for what everything does."""

    def __init__(self, client: AsyncPenstock, case: Case) -> None:
        self._client, self._case = client, case

    @property
    def id(self) -> str:
        return self.job.id

    @property
    def job(self) -> Job:
        return self._case.job

    async def __aiter__(self) -> AsyncIterator[Answer]:
        following = self._case.follow()
        while not following.is_over:
            broke: PenstockError | None = None
            try:
                async with self._client._stream(following.call()) as pieces:
                    async for piece in pieces:
                        for answer in following.read(piece):
                            yield answer
                        if following.is_over:
                            break
            except PenstockError as error:
                broke = error
            await asyncio.sleep(following.lost(broke))
        following.close()

    async def wait(self) -> Job:
        async for _ in self:
            pass
        return self.job

    async def to_frame(self, library: str | None = None) -> Any:
        found: list[Answer] = []
        try:
            async for answer in self:
                found.append(answer)
        except JobStopped:
            pass
        if (frame := self._case.frame(library, found)) is not None:
            return frame
        async with self._client._stream(self._case.table()) as pieces:
            return self._case.of_table(library, b"".join([piece async for piece in pieces]))

    async def save(self, path: str | PathLike[str]) -> Path:
        to = Path(path)
        async with self._client._stream(self._case.results(to)) as pieces:
            with to.open("wb") as file:  # noqa: ASYNC230 - each write is as short as the network's pieces
                async for piece in pieces:
                    file.write(piece)
        return to

    async def cancel(self) -> Job:
        return await self._act("cancel")

    async def pause(self) -> Job:
        return await self._act("pause")

    async def resume(self) -> Job:
        return await self._act("resume")

    async def retry(self, *, only: Sequence[str] | None = None, max_tokens: int | None = None) -> Job:
        choice = {"only": None if only is None else list(only), "max_tokens": max_tokens}
        return self._told(await self._client._do(flows.retried(self._case.contact, self.id, choice)))

    async def change(self, **fields: Any) -> Job:
        return self._told(await self._client._do(flows.changed(self._case.contact, self.id, fields)))

    async def delete(self) -> None:
        await self._client._do(flows.deleted(self._case.contact, self.id))

    async def _act(self, action: str) -> Job:
        return self._told(await self._client._do(flows.acted(self._case.contact, self.id, action)))

    def _told(self, raw: dict[str, Any]) -> Job:
        self._case.raw |= raw
        return self.job

    def __repr__(self) -> str:
        return f"<AsyncRun of job {self.id}: {self.job.status}>"
