"""HTTP/1.1 as bytes, as far as a load generator needs it: requests made beforehand, answers read at a glance."""

from collections.abc import Mapping
from urllib.parse import urlsplit

NO_BODY = (204, 304)


def request(
    method: str, path: str, *, host: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> bytes:
    """A request as bytes. `host` is what the Host header says; a body is JSON unless the headers differ."""
    lines = {"Host": host, **({"Content-Type": "application/json"} if body is not None else {}), **(headers or {})}
    if body is not None:
        lines["Content-Length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + (body or b"")


def address_of(url: str) -> tuple[str, int]:
    """Host and port of an http:// URL. Raises ValueError for any other."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"{url} is no http:// address")
    return parts.hostname, parts.port or 80


def header(head: bytes, name: str) -> str | None:
    """A header of an answer's head, None where there is none."""
    at = head.lower().find(b"\r\n%s:" % name.lower().encode())
    if at < 0:
        return None
    value, _, _ = head[at + len(name) + 3 :].partition(b"\r\n")
    return value.strip().decode("latin-1")


def read_answer(received: bytes, *, ended: bool = False) -> tuple[int, bytes, bytes, bool] | None:
    """Status, head, body, and whether the connection stays open; None while some of it is missing.

    `ended` says that nothing more will come, which is how a body without a length ends. Raises ValueError
    for what is no HTTP.
    """
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = received[:end]
    lowered = head.lower()
    status = int(head[9:12])
    stays = not ended and b"\r\nconnection: close" not in lowered
    begins = end + 4
    at = lowered.find(b"\r\ncontent-length:")
    if at >= 0:
        length = int(lowered[at + 17 :].split(b"\r\n", 1)[0])
        whole = len(received) >= begins + length
        return (status, head, received[begins : begins + length], stays) if whole else None
    if status in NO_BODY:
        return status, head, b"", stays
    if b"\r\ntransfer-encoding: chunked" in lowered:
        body = _read_chunks(received, begins)
        return None if body is None else (status, head, body, stays)
    return (status, head, received[begins:], False) if ended else None


def _read_chunks(received: bytes, at: int) -> bytes | None:
    body = []
    while True:
        line_end = received.find(b"\r\n", at)
        if line_end < 0:
            return None
        size = int(received[at:line_end].split(b";")[0], 16)
        at = line_end + 2 + size + 2
        if len(received) < at:
            return None
        if size == 0:
            return b"".join(body)
        body.append(received[line_end + 2 : at - 2])
