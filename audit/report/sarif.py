"""For code scanning: SARIF 2.1.0, an OASIS standard. §3.x in this file is a section of it."""

import hashlib
import json
import re
from typing import Any

from audit.explanations import explanations
from audit.finding import Explanation, Finding
from audit.policies import Policy
from audit.report import Report, capital
from audit.versions import ACCESS_PATH

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_TABLE = re.compile(r"\bapp\.\w+")

Json = dict[str, Any]


def render(report: Report) -> str:
    """Write a report as a SARIF log with one run.

    Each result names the object in the database (§3.33), and the line of db/policies/ that is about it. What no
    policy is about is placed in db/access.toml, which forbids whatever it does not name: code scanning shows no
    result without a place. `properties.mend` is the mend as it can be pasted.
    """
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [_run(report)]}
    return json.dumps(log, ensure_ascii=False, indent=2)


def _run(report: Report) -> Json:
    rules = list(explanations())
    return {
        "tool": {
            "driver": {
                "name": "todo-api audit",
                "version": report.versions.get("todo-api", "unknown"),
                "rules": [_rule(each) for each in explanations().values()],
            }
        },
        # It came to its end: §3.20.14. The time is of RFC 3339, in UTC: §3.9.
        "invocations": [{"executionSuccessful": True, "endTimeUtc": report.at.strftime("%Y-%m-%dT%H:%M:%SZ")}],
        "artifacts": [_artifact(path, digest) for path, digest in _files(report).items()],
        "results": [_result(finding, rules.index(finding.check), report) for finding in report.findings],
        "properties": {"database": report.database, "done": report.done, "versions": report.versions},
    }


def _files(report: Report) -> dict[str, str]:
    return {name: said.removeprefix("sha256:") for name, said in report.versions.items() if said.startswith("sha256:")}


def _artifact(path: str, digest: str) -> Json:
    return {"location": {"uri": path}, "hashes": {"sha-256": digest}}


def _rule(explanation: Explanation) -> Json:
    said = {
        "shortDescription": capital(explanation.what),
        "fullDescription": capital(explanation.why),
        "help": capital(explanation.mend),
    }
    return {
        "id": explanation.name,
        **{member: {"text": text} for member, text in said.items()},
        "defaultConfiguration": {"level": "error"},
    }


def _result(finding: Finding, rule: int, report: Report) -> Json:
    return {
        "ruleId": finding.check,
        "ruleIndex": rule,
        "level": "error",
        "message": {"text": _message(f"{finding.object} {finding.what}.\n\nMend: {finding.mend}")},
        "locations": [_location(finding, report)],
        # Several objects may share a line. Without it, code scanning would show only one of them.
        "partialFingerprints": {"primaryLocationLineHash": _fingerprint(finding)},
        "properties": {"mend": finding.mend},
    }


def _message(text: str) -> str:
    # A brace begins a placeholder, unless it is doubled: §3.11.5.
    return text.replace("{", "{{").replace("}", "}}")


def _fingerprint(finding: Finding) -> str:
    told = json.dumps([finding.check, finding.object, finding.what])
    return hashlib.sha256(told.encode()).hexdigest()


def _location(finding: Finding, report: Report) -> Json:
    path, line = _place(finding.object, report.policies)
    return {
        "physicalLocation": {"artifactLocation": {"uri": path}, "region": {"startLine": line}},
        "logicalLocations": [{"fullyQualifiedName": finding.object, "kind": _kind(finding.object, report)}],
    }


def _place(name: str, policies: list[Policy]) -> tuple[str, int]:
    table = _TABLE.search(name)
    about = [policy for policy in policies if policy.on in {name, table.group() if table else name}]
    # A policy that is named itself goes before the first one of its table.
    about.sort(key=lambda policy: policy.name not in re.findall(r"\w+", name))
    return (about[0].file, about[0].line) if about else (ACCESS_PATH, 1)


def _kind(name: str, report: Report) -> str:
    # `function` is a kind of §3.33.7, which allows others where none of its own is right.
    if name.endswith(")"):
        return "function"
    if name in report.access.roles:
        return "role"
    if name in report.access.schemas:
        return "schema"
    return "table" if _TABLE.fullmatch(name) else "object"
