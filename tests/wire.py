"""Counts round trips where they happen: between the service and Postgres."""

import asyncio
from pathlib import Path
from typing import Self

from sqlalchemy import make_url


class Wire:
    """A proxy in front of Postgres. `trips` lists each message of the client that Postgres answers.

    `sent` is all that the client said after it started up. The message `cut_after` reaches Postgres, but its
    answer never comes back: the connection ends, or, with `silent`, it stays and says no more.

    Simple queries are listed by their text; Parse, Bind and Execute up to a Sync as one `(prepared)`.
    Message formats: Postgres manual, "Frontend/Backend Protocol".
    """

    def __init__(self, url: str) -> None:
        self._target = make_url(url)
        self.trips: list[str] = []
        self.sent = bytearray()
        self.cut_after: str | None = None
        self.silent = False

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = self._target.set(host="127.0.0.1", port=port, query={}).render_as_string(hide_password=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host = str(self._target.query.get("host") or self._target.host)
        port = self._target.port or 5432
        if host.startswith("/"):
            return await asyncio.open_unix_connection(Path(host) / f".s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await self._connect()
        answers = asyncio.create_task(_copy(server_reader, writer))
        try:
            size = await reader.readexactly(4)
            server_writer.write(size + await reader.readexactly(int.from_bytes(size) - 4))  # the start-up message
            while True:
                kind, size = await reader.readexactly(1), await reader.readexactly(4)
                body = await reader.readexactly(int.from_bytes(size) - 4)
                if kind == b"Q":
                    self.trips.append(body.rstrip(b"\0").decode())
                elif kind == b"S":
                    self.trips.append("(prepared)")
                self.sent += body
                if kind == b"Q" and self.trips[-1] == self.cut_after:
                    answers.cancel()
                    server_writer.write(kind + size + body)
                    await server_reader.read(1)
                    while self.silent and await reader.read(1024):
                        pass
                    return
                server_writer.write(kind + size + body)
        except asyncio.IncompleteReadError:
            pass
        finally:
            answers.cancel()
            server_writer.close()
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(65536):
        writer.write(chunk)
    writer.close()
