"""The tour of the README, as a reader would paste it."""

import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.cli.test_dev import dev, nothing_is_left, run
from tests.servers import free_port

ROOT = Path(__file__).parents[2]
CHANGING = [
    (r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", "UUID"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "TIME"),
    (r'"request_id":"[0-9a-f]{32}"', "REQUEST"),
]


def tour() -> tuple[list[str], str]:
    """The commands, and all that they are said to print."""
    section = (ROOT / "README.md").read_text().split("## A tour")[1].split("\n## ")[0]
    lines = "".join(re.findall(r"```console\n(.*?)```", section, flags=re.DOTALL)).splitlines()
    commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return commands, "\n".join(line for line in lines if not line.startswith("$ "))


def settled(output: str) -> str:
    for pattern, name in CHANGING:
        output = re.sub(pattern, name, output)
    return re.sub(r"\n+", "\n", output.replace("}{", "}\n{")).strip()


def test_on_a_fresh_machine_the_tour_prints_what_the_readme_says(tmp_path: Path) -> None:
    commands, expected = tour()
    port = free_port()
    command = Path(sys.executable).with_name("todo-api")
    script = "\n".join(f"{line}\necho" if line.startswith("curl") else line for line in commands)
    script = script.replace("8000", str(port)).replace(
        ".venv/bin/todo-api token", f"{command} token --folder {tmp_path}"
    )
    with dev(tmp_path, port) as (process, curl):
        assert run(curl).stdout == "[]\n200"
        printed = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, timeout=60, check=True)
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0
    nothing_is_left(tmp_path, port)
    assert settled(printed.stdout) == settled(expected)
