"""On a terminal a line says how far an audit is, and nothing of it is left."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios

from audit.checks import checks
from tests.audit.conftest import TODO_API
from tests.conftest import Database

COLUMNS = 32
_NOTHING_IS_LISTENING = "postgresql://u@127.0.0.1:1/x"


def audit_on_a_terminal(url: str, stdout: int | None = None) -> tuple[int, str, str | None]:
    """The exit code, what a terminal was sent, and what went to stdout where that is a pipe."""
    terminal, its_end = pty.openpty()
    fcntl.ioctl(its_end, termios.TIOCSWINSZ, struct.pack("4H", 24, COLUMNS, 0, 0))
    process = subprocess.Popen(
        [TODO_API, "audit", "--database-url", url], stdout=stdout or its_end, stderr=its_end, text=True
    )
    os.close(its_end)
    sent = b"".join(iter(lambda: _read(terminal), b""))
    os.close(terminal)
    piped, _ = process.communicate(timeout=60)
    return process.returncode, sent.decode(), piped


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # nobody has it open any more
        return b""


def left_on(terminal: str) -> str:
    """What a person sees in the end: without what was on a line before it was cleared."""
    return re.sub(r"[^\n]*\r\x1b\[K", "", terminal)


def test_it_says_how_far_it_is_and_leaves_the_report_alone(audited: Database) -> None:
    code, sent, _ = audit_on_a_terminal(audited.superuser_url)
    assert code == 0
    assert re.fullmatch(rf"{audited.name} on [^\n]+: no finding [^\n]+\r\n", left_on(sent))
    said = re.findall(r"\x1b\[K([^\r\n]+)\r", sent)
    assert said[0] == "connecting"
    expected = [f"[{number}/{len(checks())}] {name}"[: COLUMNS - 1] for number, name in enumerate(checks(), 1)]
    assert [doing for doing in said if doing.startswith("[")] == expected
    probes = [int(doing[7:].replace(",", "")) for doing in said if doing.startswith("probes ")]
    assert probes == sorted(set(probes))
    assert probes[-1] > 5000


def test_nothing_of_it_is_left_when_the_audit_fails() -> None:
    code, sent, _ = audit_on_a_terminal(_NOTHING_IS_LISTENING)
    assert code == 2
    assert "connecting" in sent
    assert re.fullmatch(r"todo-api: [^\n]+\r\n", left_on(sent))


def test_a_report_in_a_pipe_holds_nothing_of_it(audited: Database) -> None:
    code, sent, piped = audit_on_a_terminal(audited.superuser_url, subprocess.PIPE)
    assert code == 0
    assert left_on(sent) == ""
    assert piped is not None
    assert piped.startswith(f"{audited.name} on ")
    assert piped.count("\n") == 1
