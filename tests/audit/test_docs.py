"""docs/audit.md tells of what there is."""

import argparse
import re
from pathlib import Path

import pytest

from audit.access import read_access
from audit.cli import add_arguments
from audit.explanations import explanations
from audit.report import renderers
from tests.audit.conftest import Weakened, findings

PAGE = Path("docs/audit.md").read_text()


def test_every_check_that_it_names_exists() -> None:
    named = set(re.findall(r"`(?:--explain )?([a-z]+_[a-z_]+)`", PAGE)) - read_access().roles.keys()
    assert {"identity_altered", "function_altered", "wall_altered"} <= named
    assert named - explanations().keys() == {"updated_at"}


def test_it_names_every_option_and_no_other() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    add_arguments(parser)
    option = r"--[a-z][a-z-]+"
    assert set(re.findall(option, PAGE)) == set(re.findall(option, parser.format_help()))


def test_it_names_every_format() -> None:
    assert re.findall(r"^\| (\w+) \| ", PAGE.split("| `--format` | for |")[1].split("\n\n")[0], re.MULTILINE) == list(
        renderers()
    )


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(\.\./([^)]+)\)", PAGE))))
def test_every_file_that_it_links_to_exists(path: str) -> None:
    assert Path(path).exists()


def test_the_report_that_it_shows_is_what_is_printed(weakened: Weakened) -> None:
    found = findings(weakened("ALTER TABLE app.tasks NO FORCE ROW LEVEL SECURITY"))[:2]
    lines = [line for each in found for line in (f"{each.check}: {each.object} {each.what}", f"    {each.mend}")]
    assert "```text\n" + "\n".join(lines) + "\n```" in PAGE
