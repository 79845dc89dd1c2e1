"""Every format says the same, and nothing that a database holds acts in any of them.

sarif-2.1.0.json is the JSON schema of SARIF 2.1.0, as the npm package @microsoft/sarif-multitool-linux 5.7.0 (MIT)
carries it.
"""

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from markdown_it import MarkdownIt

from audit.access import read_access
from audit.explanations import explanations
from audit.finding import Finding
from audit.pgrls import NOT_INSTALLED
from audit.policies import policy_files, read_policies
from audit.report import Report, renderers
from audit.versions import versions
from tests.audit.conftest import Weakened
from tests.conftest import Database, Main

SCHEMA = json.loads(Path(__file__).with_name("sarif-2.1.0.json").read_text())

# What a name in a database may hold: all of it is allowed in a quoted identifier.
HOSTILE = "<script>alert(1)</script> \"' & ]]> ``` | {0} @someone ${x} $x [a](http://a.test) \x1b[2J \u202e \r\n日本 é"

FINDINGS = [
    Finding("rls_missing", "app.tasks", "does not force row-level security", "ALTER TABLE app.tasks FORCE;"),
    Finding(
        "drift", f'policy "{HOSTILE}" on app.tasks', f"is otherwise: {HOSTILE}", f'DROP POLICY "{HOSTILE}";\nSELECT 1'
    ),
    Finding("probe", "app.uuidv7()", "answers a stranger", "REVOKE ALL ON FUNCTION app.uuidv7() FROM PUBLIC;"),
    Finding("pgrls", HOSTILE, HOSTILE, f"{HOSTILE}\n```\n<b>"),
]


def report(findings: list[Finding] = FINDINGS, **changes: Any) -> Report:
    values: dict[str, Any] = {
        "database": "todo on 127.0.0.1:5432",
        "server": "18.1",
        "at": datetime(2026, 11, 21, 20, 15, tzinfo=UTC),
        "access": read_access(),
        "findings": findings,
        "done": {"catalog checks": "27"},
        "policies": read_policies(),
        "versions": versions("18.1"),
    }
    return Report(**values | changes)


def written(format: str, findings: list[Finding] = FINDINGS, **changes: Any) -> str:
    return renderers()[format](report(findings, **changes))


def run_of(sarif: str) -> dict[str, Any]:
    run: dict[str, Any] = json.loads(sarif)["runs"][0]
    return run


class Page(HTMLParser):
    """The elements of a page, each with its attributes, and the text within each kind of element."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.texts.setdefault(tag, []).append("")
        if tag not in {"meta", "path"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "path":
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self.open):
            self.texts[tag][-1] += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


# --- every format ---


@pytest.mark.parametrize("findings", [[], FINDINGS[:1], FINDINGS], ids=len)
def test_the_formats_say_the_same_number_of_findings(findings: list[Finding]) -> None:
    said = {
        "text": len([line for line in written("text", findings).splitlines() if not line.startswith(" ")]) - 1,
        "json": len(json.loads(written("json", findings))["findings"]),
        "sarif": len(run_of(written("sarif", findings))["results"]),
        "html": len([li for li in Page(written("html", findings)).all("li") if li.get("id", "")]),
        "markdown": len(re.findall(r"^### \d+\. ", written("markdown", findings), re.MULTILINE)),
    }
    assert said == dict.fromkeys(renderers(), len(findings))


@pytest.mark.parametrize("format", ["text", "html", "markdown"])
def test_people_are_told_the_verdict_in_words(format: str) -> None:
    for number, verdict in {0: "no finding", 1: "1 finding", 4: "4 findings"}.items():
        assert verdict in written(format, FINDINGS[:number]).replace("No finding", "no finding")


@pytest.mark.parametrize("format", renderers())
def test_a_report_of_nothing_can_be_written(format: str) -> None:
    assert written(format, [], done={}, policies=[], versions={})


@pytest.mark.parametrize("format", ["text", "html", "markdown"])
def test_what_would_move_the_cursor_or_turn_the_writing_is_written_out(format: str) -> None:
    text = written(format, [Finding("drift", HOSTILE, HOSTILE, "SELECT 1")])
    assert not set(text) & {"\x1b", "\u202e", "\r"}
    assert r"\u202e" in text


# --- text ---


def test_a_finding_is_one_line_with_its_mend_below() -> None:
    first, mend, *_, last = written("text").splitlines()
    assert first == "rls_missing: app.tasks does not force row-level security"
    assert mend == "    ALTER TABLE app.tasks FORCE;"
    assert last == "todo on 127.0.0.1:5432: 4 findings (catalog checks: 27)"


def test_a_mend_for_several_findings_in_a_row_stands_below_the_last() -> None:
    same = [Finding("probe", "app.tasks", f"{number} rows", "-- Look.") for number in (1, 2)]
    assert written("text", same).splitlines()[:-1] == [
        "probe: app.tasks 1 rows",
        "probe: app.tasks 2 rows",
        "    -- Look.",
    ]


# --- json ---


def test_json_holds_everything_as_it_was_found() -> None:
    document = json.loads(written("json"))
    assert list(document) == [
        "format", "verdict", "database", "server", "at", "findings", "done", "policies", "versions",
    ]  # fmt: skip
    assert document["findings"][1] == {
        "check": "drift",
        "object": FINDINGS[1].object,
        "what": FINDINGS[1].what,
        "mend": FINDINGS[1].mend,
    }
    assert (document["format"], document["verdict"], document["at"]) == (1, "findings", "2026-11-21T20:15:00+00:00")
    assert json.loads(written("json", []))["verdict"] == "clean"


# --- sarif ---


@pytest.mark.parametrize("findings", [[], FINDINGS], ids=len)
def test_sarif_is_valid(findings: list[Finding]) -> None:
    validator = jsonschema_rs.validator_for(SCHEMA, validate_formats=True)
    assert [error.message for error in validator.iter_errors(json.loads(written("sarif", findings)))] == []


def test_the_schema_of_sarif_refuses_what_is_none() -> None:
    log = json.loads(written("sarif"))
    log["runs"][0]["results"][0]["level"] = "bad"
    assert not jsonschema_rs.is_valid(SCHEMA, log)


def test_sarif_has_a_rule_for_every_check_and_every_result_names_its_own() -> None:
    run = run_of(written("sarif"))
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == list(explanations())
    assert [rules[result["ruleIndex"]] for result in run["results"]] == [finding.check for finding in FINDINGS]


def test_sarif_places_a_result_where_its_object_is_decided() -> None:
    places = [result["locations"][0]["physicalLocation"] for result in run_of(written("sarif"))["results"]]
    uris = [place["artifactLocation"]["uri"] for place in places]
    assert uris == ["db/policies/0020_tasks.sql"] * 3 + ["db/access.toml"]
    lines = Path(uris[2]).read_text().splitlines()
    assert lines[places[2]["region"]["startLine"] - 1] == "GRANT EXECUTE ON FUNCTION app.uuidv7() TO todo_api;"


def test_sarif_places_a_policy_where_it_is_written() -> None:
    result = run_of(written("sarif", [Finding("drift", "policy door on app.tasks", "is otherwise", "-")]))["results"][0]
    line = result["locations"][0]["physicalLocation"]["region"]["startLine"]
    assert Path("db/policies/0020_tasks.sql").read_text().splitlines()[line - 1].startswith("CREATE POLICY door ON")


def test_sarif_names_objects_as_the_database_does() -> None:
    objects = ["app.tasks", "app.uuidv7()", "todo_api", "app", "policy x on app.tasks"]
    results = run_of(written("sarif", [Finding("drift", name, "is otherwise", "-") for name in objects]))["results"]
    named = [result["locations"][0]["logicalLocations"][0] for result in results]
    assert [name["fullyQualifiedName"] for name in named] == objects
    assert [name["kind"] for name in named] == ["table", "function", "role", "schema", "object"]


def test_findings_that_share_a_line_are_told_apart() -> None:
    results = run_of(written("sarif", [Finding("drift", "app.tasks", what, "-") for what in "ab"]))["results"]
    assert len({result["partialFingerprints"]["primaryLocationLineHash"] for result in results}) == 2


def test_a_brace_in_a_message_begins_no_placeholder() -> None:
    result = run_of(written("sarif"))["results"][3]
    assert "{{0}}" in result["message"]["text"]
    assert result["properties"]["mend"] == FINDINGS[3].mend


# --- html ---


def test_the_page_needs_no_other_file_and_runs_no_script() -> None:
    page = Page(written("html"))
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"}
    assert not re.search(r"url\(|@import|javascript:", written("html", []))
    for _, attributes in page.elements:
        assert not {name for name in attributes if name.startswith("on") or name in {"src", "srcset", "style"}}
        assert (attributes.get("href") or "#").startswith("#")


def test_the_page_shows_a_mend_as_it_is_to_be_pasted() -> None:
    # A browser takes the first line feed within <pre> away, and reads CRLF as LF.
    shown = [text.removeprefix("\n") for text in Page(written("html")).texts["pre"][:4]]
    assert [text.replace("\r\n", "\n") for text in shown] == [f.mend.replace("\r\n", "\n") for f in FINDINGS]


def test_the_page_can_be_read_by_a_screen_reader() -> None:
    page = Page(written("html"))
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == len(page.all("main")) == 1
    assert len(page.all("caption")) == len(page.all("table")) == len(page.all("thead"))
    assert {cell.get("scope") for cell in page.all("th")} == {"col", "row"}
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {(attributes.get("href") or "#")[1:] for attributes in page.all("a")} <= set(ids)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert all(deeper - level <= 1 for level, deeper in pairwise(levels))


def test_the_page_holds_every_policy_with_what_it_means_and_every_hash() -> None:
    text = " ".join(Page(written("html")).texts["body"])
    for policy in read_policies():
        assert policy.says.replace("`", "") in text
        assert policy.sql in text
    assert all(said in text for said in versions("18.1").values())


def test_the_page_tells_of_every_check_what_it_found() -> None:
    page = " ".join(Page(written("html")).texts["tr"])
    for each in explanations().values():
        assert each.name in page
        assert each.why[1:] in page
    assert re.search(r"pgrls.+1 finding", page)
    page = written("html", [], done={"pgrls": NOT_INSTALLED})
    assert page.count(">no finding<") == len(explanations()) - 1 + len(read_access().tables)
    assert page.count(">not installed<") == 1


def test_a_table_is_called_clean_only_when_nothing_at_all_was_found() -> None:
    captions = Page(written("html", FINDINGS[:1])).texts["caption"]
    assert [caption.split()[1:3] for caption in captions[:2]] == [["1", "finding"], ["owner_id", "says"]]
    captions = Page(written("html", [])).texts["caption"]
    assert [caption.split()[1:3] for caption in captions[:2]] == [["no", "finding"]] * 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_colours_of_the_page_have_a_contrast_of_4_5(scheme: str) -> None:
    blocks = re.findall(r":root \{(.+?)\}", written("html"), re.DOTALL)
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", blocks[["light", "dark"].index(scheme)]))
    pairs = [("ink", "page"), ("soft", "page"), ("link", "page"), ("ink", "sheet"), ("soft", "sheet"), ("ink", "chip")]
    pairs += [("good", "good-page"), ("bad", "bad-page"), ("soft", "good-page"), ("soft", "bad-page"), ("ink", "head")]
    too_weak = [pair for pair in pairs if contrast(*(colours[name] for name in pair)) < 4.5]
    assert too_weak == []


def contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio."""
    darker, lighter = sorted(luminance(colour) for colour in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    shares = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


# --- markdown ---


def test_markdown_holds_no_html_no_link_and_each_mend_as_it_is() -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(written("markdown"))
    kinds = {child.type for token in tokens for child in [token, *(token.children or [])]}
    assert not kinds & {"html_block", "html_inline", "link_open", "image"}
    mends = [token.content.removesuffix("\n") for token in tokens if token.type == "fence"]
    assert mends == [finding.mend.replace("\r\n", "\n") for finding in FINDINGS]


def test_a_row_of_markdown_has_as_many_cells_as_its_head() -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(written("markdown", versions={"a|b": "c|d"}))
    assert sum(token.type == "td_open" for token in tokens[-12:]) == 2


# --- policies and versions ---


def test_every_policy_and_grant_has_a_sentence_above_it() -> None:
    policies = read_policies()
    assert all(policy.says.endswith(".") for policy in policies)
    text = "".join(file.read_text() for file in policy_files())
    assert len(policies) == len(re.findall(r"^(?:CREATE POLICY|GRANT) ", text, re.MULTILINE))


def test_a_statement_without_a_sentence_is_shown_as_such(tmp_path: Path) -> None:
    (tmp_path / "0000_x.sql").write_text("-- Elsewhere.\n\nGRANT SELECT\n  ON app.x TO y;\n")
    (policy,) = read_policies(tmp_path)
    assert (policy.says, policy.line, policy.on) == ("", 3, "app.x")
    assert "Nobody wrote down what it means." in written("html", policies=[policy])


# --- the command ---


def test_a_report_is_written_through_the_command(audited: Database, main_with: Main, tmp_path: Path) -> None:
    file = tmp_path / "audit.html"
    file.write_text("old")
    file.chmod(0o600)
    code, said = main_with({}, *audit(audited, "--format", "html", "--output", str(file)))
    assert (code, said) == (0, "")
    assert "No finding" in Page(file.read_text(encoding="utf-8")).texts["p"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("format", renderers())
def test_a_report_with_findings_is_written_all_the_same(
    weakened: Weakened, main_with: Main, tmp_path: Path, format: str
) -> None:
    audited = weakened("ALTER TABLE app.tasks NO FORCE ROW LEVEL SECURITY")
    file = tmp_path / "audit"
    code, said = main_with({}, *audit(audited, "--format", format, "--output", str(file)))
    assert (code, said) == (1, "")
    assert "FORCE ROW LEVEL SECURITY" in file.read_text(encoding="utf-8")


def test_a_folder_that_is_not_there_is_one_line(audited: Database, main_with: Main, tmp_path: Path) -> None:
    file = tmp_path / "nowhere" / "audit.html"
    code, said = main_with({}, *audit(audited, "--output", str(file)))
    assert code == 2
    assert said == f"todo-api: {file} cannot be written: {file.parent} is no folder\n"


def test_a_report_that_cannot_be_written_leaves_what_was_there(
    audited: Database, main_with: Main, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "audit.txt"
    file.write_text("old")

    def full(self: Path, text: str, encoding: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    code, said = main_with({}, *audit(audited, "--output", str(file)))
    assert (code, said) == (2, f"todo-api: {file} cannot be written: No space left on device\n")
    assert [(found, found.read_text()) for found in tmp_path.iterdir()] == [(file, "old")]


def test_a_folder_or_a_device_is_never_replaced(audited: Database, main_with: Main, tmp_path: Path) -> None:
    assert main_with({}, *audit(audited, "--output", str(tmp_path)))[0] == 2
    assert tmp_path.is_dir()
    assert main_with({}, *audit(audited, "--output", "/dev/null"))[0] == 0
    assert Path("/dev/null").is_char_device()


def test_a_link_stays_a_link(audited: Database, main_with: Main, tmp_path: Path) -> None:
    link = tmp_path / "newest.txt"
    link.symlink_to(tmp_path / "audit.txt")
    assert main_with({}, *audit(audited, "--output", str(link)))[0] == 0
    assert link.is_symlink()
    assert "no finding" in (tmp_path / "audit.txt").read_text()


def audit(audited: Database, *arguments: str) -> tuple[str, ...]:
    return ("audit", "--database-url", audited.superuser_url, *arguments)
