"""One keep-alive HTTP connection of a client that speaks JSON."""

import asyncio
import json
from dataclasses import dataclass
from functools import cached_property

# Far beyond what Ticks promises: who waits this long for an answer has none.
ANSWER_SECONDS = 15


class NoAnswer(Exception):
    """Refused, reset, ended early or too late: the request may have been carried out or not."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @cached_property
    def json(self) -> dict:
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def code(self) -> str:
        return self.json.get("code", "")

    @property
    def label(self) -> str:
        """The status, with the code of a refusal."""
        return f"{self.status} {self.code}".strip()

    @property
    def retry_after(self) -> float | None:
        given = self.headers.get("retry-after", "")
        return float(given) if given.isdigit() else None


class Connection:
    def __init__(self, port: int):
        self.port = port
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, path: str, body: dict | None = None, headers: dict | None = None) -> Answer:
        try:
            return await asyncio.wait_for(self.exchange(method, path, body, headers or {}), ANSWER_SECONDS)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            self.close()
            raise NoAnswer(type(error).__name__) from error
        except asyncio.CancelledError:
            self.close()
            raise

    async def exchange(self, method: str, path: str, body: dict | None, headers: dict) -> Answer:
        if self.writer is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(content)}"]
        if body is not None:
            lines.append("Content-Type: application/json")
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        first, *rest = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
        said = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        answer = Answer(int(first.split()[1]), said, await self.read_body(said))
        if said.get("connection", "").lower() == "close":
            self.close()
        return answer

    async def read_body(self, said: dict[str, str]) -> bytes:
        if "content-length" in said:
            return await self.reader.readexactly(int(said["content-length"]))
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += await self.reader.readexactly(size)
            await self.reader.readline()
        await self.reader.readline()
        return body

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None
