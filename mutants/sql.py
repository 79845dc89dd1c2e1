"""Weakenings of db/policies/, made from what pglast reads in the files."""

import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

from pglast import ast, parse_sql
from pglast.enums import GrantTargetType
from pglast.stream import RawStream

from mutants import Mutant

# `{owner}` is the owner's column, `{caller}` the caller as policies have it, `{raw}` without the subselect.
PREDICATES = {
    "true": "true",
    "negated": "NOT ({owner} = {caller})",
    "<>": "{owner} <> {caller}",
    ">=": "{owner} >= {caller}",
    "<=": "{owner} <= {caller}",
    "IS NOT DISTINCT FROM": "{owner} IS NOT DISTINCT FROM {caller}",
    "LIKE": "{owner} LIKE {caller}",
    "case-insensitive": "lower({owner}) = lower({caller})",
    "another column": "{other} = {caller}",
    "a tautology": "{owner} = {owner}",
    "OR true": "{owner} = {caller} OR true",
    "OR no caller": "{owner} = {caller} OR {caller} IS NULL",
    "OR a marked row": "{owner} = {caller} OR {other} = 'public'",
    "coalesce fails open": "{owner} = coalesce({caller}, {owner})",
    "a prefix": "left({owner}, 8) = left({caller}, 8)",
    "a hash": "hashtext({owner}) % 16 = hashtext({caller}) % 16",
    "without InitPlan": "{owner} = {raw}",
    "another GUC": "{owner} = (SELECT current_setting('app.tenant_id', true))",
    "the session's user": "{owner} = (SELECT app.current_user_id()) OR current_user = 'todo_api'",
}
OTHER_COLUMNS = {"tasks": "title", "idempotency_keys": "key"}
CALLER = "(SELECT app.current_user_id())"
FUNCTION = """CREATE OR REPLACE FUNCTION app.current_user_id() RETURNS text
LANGUAGE {language} {options} SET search_path = ''
{body}"""
SETTING = "RETURN nullif(current_setting('app.user_id', true), '')"
FUNCTIONS = {
    "SECURITY DEFINER": FUNCTION.format(language="sql", options="STABLE PARALLEL SAFE SECURITY DEFINER", body=SETTING),
    "VOLATILE": FUNCTION.format(language="sql", options="VOLATILE PARALLEL SAFE", body=SETTING),
    "IMMUTABLE": FUNCTION.format(language="sql", options="IMMUTABLE PARALLEL SAFE", body=SETTING),
    "GUC renamed": FUNCTION.format(
        language="sql", options="STABLE", body="RETURN nullif(current_setting('app.userid', true), '')"
    ),
    "nullif removed": FUNCTION.format(
        language="sql", options="STABLE PARALLEL SAFE", body="RETURN current_setting('app.user_id', true)"
    ),
    "missing_ok removed": FUNCTION.format(
        language="sql", options="STABLE PARALLEL SAFE", body="RETURN nullif(current_setting('app.user_id'), '')"
    ),
    "a constant": FUNCTION.format(language="sql", options="STABLE PARALLEL SAFE", body="RETURN 'alice'"),
    "falls back to a user": FUNCTION.format(
        language="sql",
        options="STABLE PARALLEL SAFE",
        body="RETURN coalesce(nullif(current_setting('app.user_id', true), ''), 'alice')",
    ),
    "lower case": FUNCTION.format(
        language="sql",
        options="STABLE PARALLEL SAFE",
        body="RETURN lower(nullif(current_setting('app.user_id', true), ''))",
    ),
}


def mutants(root: Path) -> Iterator[Mutant]:
    """All weakenings of the files in db/policies/ below `root`."""
    for file in sorted((root / "db" / "policies").glob("*.sql")):
        name, text = f"db/policies/{file.name}", file.read_text()
        for number, statement in enumerate(parse_sql(text), 1):
            start = statement.stmt_location
            end = start + statement.stmt_len
            of = f"{file.name}, statement {number}: {_called(statement.stmt)}"
            for what, replacement in _weakened(statement.stmt):
                yield Mutant(of, what, name, f"{text[:start]}\n{replacement}{text[end:]}", "sql")
    for what, statements in _by_hand().items():
        # As whoever migrates, who was todo_owner so far in this transaction.
        text = f"RESET ROLE;\n{statements}\nSET LOCAL ROLE todo_owner;\n"
        yield Mutant("by hand, after a migration", what, "db/policies/9999_by_hand.sql", text, "sql")


def _by_hand() -> dict[str, str]:
    """The statements of by_hand.sql, by their names."""
    _, *blocks = Path(__file__).with_name("by_hand.sql").read_text().split("\n-- ")
    return dict(block.strip().split("\n", 1) for block in blocks)


def _called(statement: ast.Node) -> str:
    """What it does, without how: `CREATE POLICY wall ON app.tasks`."""
    said = " ".join(RawStream()(statement).split())
    return re.split(r" (?:AS (?:PERMISSIVE|RESTRICTIVE)|RETURNS|\$\$|AUTHORIZATION|LOGIN) ?", said)[0]


def _weakened(statement: ast.Node) -> Iterator[tuple[str, str]]:
    yield "dropped", "SELECT 1"
    match statement:
        case ast.CreatePolicyStmt():
            yield from _policies(statement)
        case ast.GrantStmt(is_grant=True, targtype=GrantTargetType.ACL_TARGET_OBJECT):
            yield from _grants(statement)
        case ast.CreateFunctionStmt():
            yield from FUNCTIONS.items()


def _policies(policy: ast.CreatePolicyStmt) -> Iterator[tuple[str, str]]:
    for side in ("qual", "with_check"):
        for what, predicate in PREDICATES.items():
            filled = predicate.format(
                owner="owner_id",
                caller=CALLER,
                raw="app.current_user_id()",
                other=OTHER_COLUMNS[policy.table.relname],
            )
            yield f"{_SIDES[side]} {what}", _with(policy, **{side: _expression(filled)})
        yield f"{_SIDES[side]} left out", _with(policy, **{side: None})
    yield "the other kind", _with(policy, permissive=not policy.permissive)
    for command in ("select", "insert", "update", "delete"):
        narrowed = {"select": {"with_check": None}, "delete": {"with_check": None}, "insert": {"qual": None}}
        yield f"FOR {command.upper()} alone", _with(policy, cmd_name=command, **narrowed.get(command, {}))
    for roles in ("PUBLIC", "todo_owner", "todo_api"):
        if roles not in RawStream()(policy).split("USING")[0]:
            yield f"TO {roles}", _with(policy, roles=_roles(roles))


_SIDES = {"qual": "USING", "with_check": "WITH CHECK"}


def _expression(sql: str) -> ast.Node:
    return parse_sql(f"SELECT {sql}")[0].stmt.targetList[0].val


def _roles(name: str) -> tuple[ast.Node, ...]:
    roles: tuple[ast.Node, ...] = parse_sql(f"GRANT SELECT ON x TO {name}")[0].stmt.grantees
    return roles


def _with(statement: ast.Node, **changes: object) -> str:
    changed = deepcopy(statement)
    for name, value in changes.items():
        setattr(changed, name, value)
    printed: str = RawStream()(changed)
    return printed


def _grants(grant: ast.GrantStmt) -> Iterator[tuple[str, str]]:
    yield "to PUBLIC too", _with(grant, grantees=(*grant.grantees, *_roles("PUBLIC")))
    yield "with grant option", _with(grant, grant_option=True)
    if not isinstance(grant.objects[0], ast.RangeVar):
        return
    table = f"{grant.objects[0].schemaname}.{grant.objects[0].relname}"
    printed = RawStream()(grant)
    privilege = grant.privileges[0]
    if privilege.cols:
        yield "every column", f"GRANT {privilege.priv_name} ON {table} TO todo_api"
        if privilege.priv_name != "select":
            yield "owner_id too", f"{printed};\nGRANT {privilege.priv_name} (owner_id) ON {table} TO todo_api"
    if privilege.priv_name == "delete":
        for more in ("TRUNCATE", "REFERENCES", "TRIGGER", "ALL"):
            yield f"{more} too", f"{printed};\nGRANT {more} ON {table} TO todo_api"
