"""Stands between clients and a server as a network does: cuts connections, forgets them, may speak TLS."""

import asyncio
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

AT_ONCE = 65_536  # bytes that are passed on at a time


class Relay:
    """Passes on what clients and the server at port `target` of this machine send each other."""

    def __init__(self, target: int, context: ssl.SSLContext | None) -> None:
        self._target = target
        self._pairs: set[_Pair] = set()
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        )
        self.port = int(self._server.sockets[0].getsockname()[1])
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def cut(self) -> int:
        """Reset all connections; returns how many there were."""
        return self._of_each(_Pair.reset)

    def swallow(self) -> int:
        """Nothing passes over the connections that there are any more, and neither end is told.

        New ones are well. Returns how many there were.
        """
        return self._of_each(_Pair.silence)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _of_each(self, act: "Callable[[_Pair], None]") -> int:
        async def all_of_them() -> int:
            for pair in self._pairs:
                act(pair)
            return len(self._pairs)

        return asyncio.run_coroutine_threadsafe(all_of_them(), self._loop).result()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            behind, onwards = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = _Pair(writer, onwards)
        self._pairs.add(pair)
        with suppress(asyncio.CancelledError):
            await asyncio.gather(pair.pass_on(reader, onwards), pair.pass_on(behind, writer))
            self._pairs.discard(pair)

    async def _end(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for pair in self._pairs:
            pair.reset()


class _Pair:
    """A client's connection, and the one to the server that was made for it."""

    def __init__(self, *ends: asyncio.StreamWriter) -> None:
        self._ends = ends
        self.is_silent = False

    def reset(self) -> None:
        for end in self._ends:
            if end.is_closing():
                continue
            wire: socket.socket = end.get_extra_info("socket")
            with suppress(OSError):  # it has ended
                wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            end.transport.abort()

    def silence(self) -> None:
        self.is_silent = True

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while read := await reader.read(AT_ONCE):
                if not self.is_silent:
                    writer.write(read)
                    await writer.drain()
        if not self.is_silent:  # the end of a connection is a packet, too
            writer.close()


@contextmanager
def relay(target: int, context: ssl.SSLContext | None = None) -> Iterator[Relay]:
    """A relay before a port of this machine; with `context` its clients speak TLS."""
    made = Relay(target, context)
    try:
        yield made
    finally:
        made.close()
