"""What never reaches the application: it is not HTTP, or has no end. Refused in the words of every other refusal."""

import json

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.http.headers import EVERYWHERE, new_request_id
from service.http.problems import BadRequest, HeadTooLarge, Problem, title_of

_LARGEST_HEAD = 64 * 1024
_LINGER_SECONDS = 1.0


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with a bound for heads and trailers, without trailers among the headers, and with a 400 that
    is a problem (RFC 9457).

    Every instance is one connection.
    """

    _unread = 0  # bytes that came since the parser last told of a head, of some body or of an end
    _told = False
    _in_body = False
    _refused = False
    _answering: RequestResponseCycle | None = None

    def data_received(self, data: bytes) -> None:
        """Take what the client sends. What follows a refusal is thrown away."""
        if self._refused:
            return
        self._told = False
        super().data_received(data)
        self._unread = 0 if self._told else self._unread + len(data)
        if self._unread > _LARGEST_HEAD and not self._refused:
            self._refuse(HeadTooLarge(_LARGEST_HEAD))

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone. uvicorn tells the request that came last; it may be another that is answered."""
        super().connection_lost(exc)
        if self._answering is not None:
            self._answering.disconnected = True
            self._answering.message_event.set()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def on_header(self, name: bytes, value: bytes) -> None:
        """The parser has read a header; or a trailer, which is no header (RFC 9110 §6.5.1)."""
        if not self._in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The parser has read a head."""
        super().on_headers_complete()
        self._told = self._in_body = True

    def on_body(self, body: bytes) -> None:
        """The parser has read some of a body."""
        self._told = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The parser has read a request to its end."""
        self._told, self._in_body = True, False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser cannot read."""
        self._refuse(BadRequest())

    def _refuse(self, problem: Problem) -> None:
        """Answer, and end the connection: where the next request would begin is unknown.

        It is closed a little later. At once, with bytes that nobody read, it would be reset (RFC 9112 §9.6), and the
        answer lost.
        """
        self._refused = True
        cycle = self.cycle
        if self._in_body:  # of the last request: whatever it was, it has no answer but this one
            answered = cycle.response_started or bool(self.pipeline)
            cycle.disconnected = True
            cycle.message_event.set()
            if answered:
                self.transport.close()
                return
        elif cycle is not None and not cycle.response_complete:
            cycle.keep_alive = False  # it came whole: it is answered, and then the connection ends
            return
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
        self.transport.write_eof()
        self.loop.call_later(_LINGER_SECONDS, self.transport.abort)

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: anybody could fill the log with it."""
