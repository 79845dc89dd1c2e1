"""The tour of the README and the guide to the API, as a reader would paste them."""

import re
import signal
import subprocess
import sys
from pathlib import Path

from service.app import openapi_document
from tests.cli.test_dev import dev, nothing_is_left, run
from tests.servers import free_port

ROOT = Path(__file__).parents[2]
CHANGING = [
    (r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", "UUID"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r'"request_id":"[0-9a-f]{32}"', "REQUEST"),
    (r"cursor=[\w.-]+", "CURSOR"),
]


def tour_of(page: str) -> tuple[list[str], str]:
    """The commands, and all that they are said to print."""
    text = (ROOT / page).read_text()
    if page == "README.md":
        text = text.split("## A tour")[1].split("\n## ")[0]
    lines = "".join(re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL)).splitlines()
    commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return commands, "\n".join(line for line in lines if not line.startswith("$ "))


def settled(output: str) -> str:
    for pattern, name in CHANGING:
        output = re.sub(pattern, name, output)
    return re.sub(r"\n+", "\n", output.replace("}{", "}\n{")).strip()


def test_on_a_fresh_machine_each_page_prints_what_it_says(scratch: Path) -> None:
    port = free_port()
    command = Path(sys.executable).with_name("todo-api")
    with dev(scratch / "dev", port) as (process, curl):
        assert run(curl).stdout == "[]\n200"
        for page in ("README.md", "docs/api.md"):
            commands, expected = tour_of(page)
            script = "\n".join(f"{line}\necho" if line.startswith("curl") else line for line in commands)
            script = script.replace("8000", str(port)).replace(
                ".venv/bin/todo-api token", f"{command} token --folder {scratch / 'dev'}"
            )
            printed = subprocess.run(
                ["bash", "-euc", script], cwd=scratch, capture_output=True, text=True, timeout=60, check=True
            )
            assert settled(printed.stdout) == settled(expected)
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0
    nothing_is_left(scratch, port)


def test_the_guide_tells_of_every_code_that_there_is() -> None:
    codes = openapi_document()["components"]["schemas"]["Problem"]["properties"]["code"]["enum"]
    told = set(re.findall(r"`([a-z_]+)`", (ROOT / "docs" / "api.md").read_text()))
    assert set(codes) <= told
