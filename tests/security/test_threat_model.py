"""docs/threat-model.md names files and tests that are there, and leaves no threat without one that shows it."""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "threat-model.md"

OWASP = (
    "API1:2023 Broken Object Level Authorization",
    "API2:2023 Broken Authentication",
    "API3:2023 Broken Object Property Level Authorization",
    "API4:2023 Unrestricted Resource Consumption",
    "API5:2023 Broken Function Level Authorization",
    "API6:2023 Unrestricted Access to Sensitive Business Flows",
    "API7:2023 Server Side Request Forgery",
    "API8:2023 Security Misconfiguration",
    "API9:2023 Improper Inventory Management",
    "API10:2023 Unsafe Consumption of APIs",
)


@pytest.fixture(scope="module")
def page() -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(PAGE.read_text())


def spans(token: Token) -> Iterator[tuple[str, str | None]]:
    """The texts of a paragraph, a heading or a cell, each with where it links to."""
    target: str | None = None
    for child in token.children or ():
        if child.type == "link_open":
            target = str(child.attrs["href"])
        elif child.type == "link_close":
            target = None
        elif child.content:
            yield child.content, target


def all_spans(page: list[Token]) -> list[tuple[str, str | None]]:
    return [span for token in page if token.type == "inline" for span in spans(token)]


def file_of(target: str) -> Path:
    """Where a relative link leads to."""
    path = target.partition("#")[0]
    return (PAGE.parent / path).resolve() if path else PAGE


def slugs(file: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def functions_of(file: Path) -> set[str]:
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {node.name for node in ast.parse(file.read_text()).body if isinstance(node, functions)}


def named(text: str) -> bool:
    """Whether a text is the name of a test, and not of a file of them."""
    return bool(re.fullmatch(r"test_\w+", text))


def tables(page: list[Token]) -> Iterator[list[list[Token]]]:
    """The rows of each table, the head among them, as cells."""
    rows: list[list[Token]] = []
    for before, token in pairwise(page):
        if token.type == "table_open":
            rows = []
        elif token.type == "tr_open":
            rows.append([])
        elif before.type in ("th_open", "td_open"):
            rows[-1].append(token)
        elif token.type == "table_close":
            yield rows


def threats(page: list[Token]) -> list[list[Token]]:
    """The rows of every table whose last column says what they are shown by."""
    return [row for head, *rows in tables(page) if head[-1].content == "shown by" for row in rows]


def test_every_link_leads_to_something_that_exists(page: list[Token]) -> None:
    targets = {target for _, target in all_spans(page) if target and "://" not in target}
    assert len(targets) > 100
    assert sorted(target for target in targets if not file_of(target).exists()) == []
    anchors = {target for target in targets if "#" in target}
    assert sorted(target for target in anchors if target.partition("#")[2] not in slugs(file_of(target))) == []


def test_every_test_that_is_named_stands_in_the_file_it_is_linked_with(page: list[Token]) -> None:
    tests = {(text, target) for text, target in all_spans(page) if named(text)}
    assert len(tests) > 100
    assert sorted(text for text, target in tests if target is None) == []
    assert sorted(text for text, target in tests if target and text not in functions_of(file_of(target))) == []


def test_no_link_is_left_without_a_target(page: list[Token]) -> None:
    """What Markdown finds no definition for is text, with its brackets."""
    assert [text for text, target in all_spans(page) if re.search(r"\]\[|\[\w[^\]]*\.\w+\]", text)] == []


def test_every_threat_names_what_stops_it_and_a_test_that_shows_it(page: list[Token]) -> None:
    found = threats(page)
    assert len(found) > 60
    assert [row[0].content for row in found if not any(target for _, target in spans(row[1]))] == []
    assert [row[0].content for row in found if not any(named(text) for text, _ in spans(row[-1]))] == []


def test_each_of_the_owasp_api_top_ten_is_there(page: list[Token]) -> None:
    assert tuple(row[0].content for row in threats(page) if row[0].content.startswith("API")) == OWASP


def test_whatever_is_not_defended_says_what_bounds_it_and_what_to_do(page: list[Token]) -> None:
    (rows,) = [rows for head, *rows in tables(page) if head[1].content == "what bounds it"]
    assert len(rows) > 10
    assert [row[0].content for row in rows if not all(cell.content for cell in row)] == []


def test_the_readme_sends_the_security_team_there() -> None:
    (row,) = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith("| security team |")]
    assert "(docs/threat-model.md)" in row
