"""For a browser and for paper: one file that needs no other and runs no script. page.html is its frame."""

import re
from collections.abc import Iterable
from html import escape
from itertools import groupby
from pathlib import Path
from string import Template

from audit.access import Grants, Table
from audit.explanations import explanations
from audit.finding import Finding
from audit.pgrls import NOT_INSTALLED
from audit.policies import Policy
from audit.report import Report, capital, count, visible

_PAGE = Path(__file__).with_name("page.html")
_TICK = "M5 12.5l4.5 4.5L19 7.5"
_CROSS = "M6.5 6.5l11 11M17.5 6.5l-11 11"
_NOTHING = '<span class="none">nothing</span>'
_CODE = re.compile("`([^`]+)`")
_COMMANDS = ("SELECT", "INSERT", "UPDATE", "DELETE")


def render(report: Report) -> str:
    """Write a report as a page. Whatever a database or a file holds is escaped."""
    sections = {
        "findings": ("Findings", _findings(report)),
        "access": ("Who may do what", _access(report)),
        "rules": ("How the database enforces it", _rules(report)),
        "done": ("What was looked for", _done(report)),
        "versions": ("Versions and hashes", _versions(report)),
    }
    return Template(_PAGE.read_text(encoding="utf-8")).substitute(
        database=_text(report.database),
        server=_text(report.server),
        at=report.at.isoformat(timespec="seconds"),
        when=f"{report.at:%Y-%m-%d %H:%M} UTC",
        verdict=report.verdict,
        Verdict=report.verdict.capitalize(),
        tone="bad" if report.findings else "good",
        mark=_CROSS if report.findings else _TICK,
        summary=_summary(report),
        done=_amounts(report),
        contents="".join(f'<li><a href="#{name}">{title}</a></li>' for name, (title, _) in sections.items()),
        sections="\n".join(_section(name, title, body) for name, (title, body) in sections.items()),
    )


def _summary(report: Report) -> str:
    if report.findings:
        return "Something is otherwise than it was specified. Each finding below says what mends it."
    return "Everything that was looked at is as it was specified."


def _amounts(report: Report) -> str:
    return " &middot; ".join(f"{_text(capital(name))}: {_text(amount)}" for name, amount in report.done.items())


def _section(name: str, title: str, body: str) -> str:
    return (
        f'<section id="{name}" aria-labelledby="{name}-title">\n<h2 id="{name}-title">{title}</h2>\n{body}\n</section>'
    )


# --- findings ---


def _findings(report: Report) -> str:
    if not report.findings:
        return '<p class="soft">There is none.</p>'
    items = "".join(_finding(number, finding) for number, finding in enumerate(report.findings, 1))
    return f'<p class="soft">Each with what mends it, to be copied.</p>\n<ol class="findings">{items}</ol>'


def _finding(number: int, finding: Finding) -> str:
    why = f"<p>{_text(capital(explanations()[finding.check].why))}</p>"
    return (
        f'<li id="finding-{number}"><h3>{number}. {_code(finding.object)} {_text(finding.what)}</h3>'
        f'{why}<p class="soft">Found by {_code(finding.check)}. What mends it:</p>{_block(finding.mend)}</li>\n'
    )


# --- who may do what ---


def _access(report: Report) -> str:
    intro = (
        '<p class="soft">By role, table and command, as <code>db/access.toml</code> allows it. '
        "Where there is no finding, it is what the checks below found in force. Superusers are bound by nothing.</p>"
    )
    tables = "\n".join(_matrix(name, table, report) for name, table in report.access.tables.items())
    return f"{intro}\n{tables}\n{_roles(report)}"


def _matrix(name: str, table: Table, report: Report) -> str:
    rows = [[_code(role), *_granted(grants, table)] for role, grants in table.access.items()]
    rows.append(['<span class="everybody">everybody else</span>', "none", *[_NOTHING] * len(_COMMANDS)])
    caption = (
        f"{_code(f'app.{name}')} {_tag(f'app.{name}', report)} "
        f'<span class="soft">{_code(table.owner_column)} says whose a row is</span>'
    )
    return _table(f"table-{name}", caption, ("Role", "Rows it reaches", *_COMMANDS), rows)


def _granted(grants: Grants, table: Table) -> list[str]:
    rows = f"the caller&rsquo;s own, by {_code(table.owner_column)}" if grants.rows == "own" else "none"
    columns = [_chips(columns) for columns in (grants.select, grants.insert, grants.update)]
    return [rows, *columns, "whole rows" if grants.delete else _NOTHING]


def _about(name: str, findings: list[Finding]) -> list[int]:
    word = re.compile(rf"(?<![\w.]){re.escape(name)}(?!\w)")
    return [number for number, finding in enumerate(findings, 1) if word.search(finding.object)]


def _tag(table: str, report: Report) -> str:
    numbers = _about(table, report.findings)
    if numbers:
        return f'<a class="tag bad" href="#finding-{numbers[0]}">{count(len(numbers))}</a>'
    # What is found of a role or a function may concern this table without naming it.
    return "" if report.findings else '<span class="tag good">no finding</span>'


def _roles(report: Report) -> str:
    access = report.access
    rows = [
        [
            _code(name),
            "yes" if role.login else "no",
            _chips(f"{setting} = {value}" for setting, value in role.settings.items()),
            _chips(schema for schema, users in access.schemas.items() if users.get(name)),
            _chips(function for function, users in access.functions.items() if users.get(name)),
        ]
        for name, role in access.roles.items()
    ]
    heads = ("Role", "Logs in", "Settings", "Uses schema", "Calls function")
    return _table("roles", "Roles, of which none is a superuser or bypasses row-level security", heads, rows)


# --- how the database enforces it ---


def _rules(report: Report) -> str:
    intro = '<p class="soft">The policies and grants of <code>db/policies/</code>, each with what it means.</p>'
    names = dict.fromkeys(policy.on for policy in report.policies)
    return intro + "\n".join(_about_object(name, report.policies) for name in names)


def _about_object(name: str, policies: list[Policy]) -> str:
    about = [policy for policy in policies if policy.on == name]
    told = "".join(_told(list(group)) for _, group in groupby(about, key=lambda policy: policy.says))
    return f'<h3>{_code(name)}</h3>\n<dl class="rules">{told}</dl>'


def _told(policies: list[Policy]) -> str:
    # As in the file: one sentence, and the statements below it.
    says = _CODE.sub(r"<code>\1</code>", _text(policies[0].says)) or "Nobody wrote down what it means."
    where = f'<span class="where">{_code(f"{policies[0].file}:{policies[0].line}")}</span>'
    statements = "\n".join(policy.sql for policy in policies)
    return f"<dt><span>{says}</span> {where}</dt><dd>{_block(statements)}</dd>\n"


# --- what was done ---


def _done(report: Report) -> str:
    rows = [
        [_code(each.name), _text(capital(each.what)), _text(capital(each.why)), _result(each.name, report)]
        for each in explanations().values()
    ]
    heads = ("Check", "Finds", "Why it matters", "Result")
    return f"{_facts(report.done)}\n{_table('checks', 'Every check, and what it found', heads, rows)}"


def _result(name: str, report: Report) -> str:
    if report.done.get(name) == NOT_INSTALLED:
        return '<span class="tag">not installed</span>'
    findings = [finding.check for finding in report.findings].count(name)
    return f'<span class="tag {"bad" if findings else "good"}">{count(findings)}</span>'


def _versions(report: Report) -> str:
    rows = [[_code(name), _code(version)] for name, version in report.versions.items()]
    return _table("hashes", "What this report was made with, and what it judged by", ("Of", "Is"), rows)


# --- pieces ---


def _table(name: str, caption: str, heads: Iterable[str], rows: Iterable[list[str]]) -> str:
    head = "".join(f'<th scope="col">{title}</th>' for title in heads)
    body = "\n".join(f'<tr><th scope="row">{first}</th>{_cells(rest)}</tr>' for first, *rest in rows)
    # A keyboard scrolls what can be focused.
    return (
        f'<div class="wide" role="region" tabindex="0" aria-labelledby="{_text(name)}">\n'
        f'<table><caption id="{_text(name)}">{caption}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def _cells(cells: list[str]) -> str:
    return "".join(f"<td>{cell}</td>" for cell in cells)


def _chips(names: Iterable[str]) -> str:
    items = "".join(f"<li>{_code(name)}</li>" for name in names)
    return f'<ul class="chips">{items}</ul>' if items else _NOTHING


def _facts(facts: dict[str, str]) -> str:
    items = "".join(f"<dt>{_text(name)}</dt><dd>{_text(amount)}</dd>" for name, amount in facts.items())
    return f'<dl class="facts">{items}</dl>' if items else ""


def _block(sql: str) -> str:
    # The parser drops a line feed that follows <pre>: one of the SQL's own must not be it.
    return f"<pre>\n{escape(sql)}</pre>"


def _code(text: str) -> str:
    return f"<code>{_text(text)}</code>"


def _text(text: str) -> str:
    return escape(visible(text))
