"""What is not HTTP never reaches the application: uvicorn refuses it, here in the words of every other refusal."""

import json

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.http.headers import EVERYWHERE, new_request_id
from service.http.problems import BadRequest


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with a 400 that is a problem (RFC 9457)."""

    def send_400_response(self, msg: str) -> None:
        """Answer, and close: where the next request would begin is unknown."""
        request_id = new_request_id()
        body = json.dumps(BadRequest().body(request_id)).encode()
        headers = {
            **EVERYWHERE,
            "X-Request-Id": request_id,
            "Content-Type": "application/problem+json",
            "Content-Length": str(len(body)),
            "Connection": "close",
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.transport.write(f"HTTP/1.1 400 Bad Request\r\n{head}\r\n".encode() + body)
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: anybody could fill the log with it."""
