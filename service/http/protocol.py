"""What never reaches the application: it is not HTTP, or has no end. Refused in the words of every other refusal."""

import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.http.headers import EVERYWHERE, new_request_id
from service.http.problems import BadRequest, HeadTooLarge, Problem, title_of

_LARGEST_HEAD = 64 * 1024
_LINGER_SECONDS = 1.0


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with a bound for heads, and with a 400 that is a problem (RFC 9457)."""

    _head_bytes: int | None = None  # of the head that is being read
    _refused = False

    def data_received(self, data: bytes) -> None:
        """Take what the client sends. What follows a refusal is thrown away."""
        if self._refused:
            return
        super().data_received(data)
        if self._head_bytes is not None and not self._refused:
            self._head_bytes += len(data)
            if self._head_bytes > _LARGEST_HEAD:
                self._refuse(HeadTooLarge(_LARGEST_HEAD))

    def on_message_begin(self) -> None:
        """The parser has found a request."""
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The parser has read its head."""
        self._head_bytes = None
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser cannot read."""
        self._refuse(BadRequest())

    def _refuse(self, problem: Problem) -> None:
        """Answer, and end the connection: where the next request would begin is unknown.

        It is closed a little later. At once, with bytes that nobody read, it would be reset (RFC 9112 §9.6), and the
        answer lost.
        """
        self._refused = True
        request_id = new_request_id()
        body = json.dumps(problem.body(request_id)).encode()
        headers = {
            **EVERYWHERE,
            "X-Request-Id": request_id,
            "Content-Type": "application/problem+json",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        status_line = f"HTTP/1.1 {problem.status} {title_of(problem.status)}"
        self.transport.write(f"{status_line}\r\n{head}\r\n".encode() + body)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER_SECONDS, self.transport.close)

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: anybody could fill the log with it."""
