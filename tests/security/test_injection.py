"""Bob sends what could be taken for SQL, for a setting or for an order, in every place there is. It stays text."""

import json
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx
import jwt
import pytest
import pytest_asyncio
from fastapi import FastAPI

from service.dev.issuer import ISSUER, Issuer
from tests.conftest import Client, http_client, new_user
from tests.signing import good_claims

NASTY = [
    "'",
    "''",
    '"',
    "\\",
    "\\'",
    "' OR 1=1 --",
    "' OR '1'='1",
    "') OR TRUE; --",
    "x'; DROP TABLE app.tasks; --",
    "'; SET app.user_id = '{alice}'; SELECT '",
    "'; SET LOCAL app.user_id = '{alice}'; --",
    "'; SELECT set_config('app.user_id', '{alice}', false); --",
    "'; RESET app.user_id; --",
    "'; SET ROLE todo_owner; --",
    "'; SET SESSION AUTHORIZATION DEFAULT; --",
    "'; SET row_security = off; --",
    "'; COMMIT; BEGIN; SET LOCAL app.user_id = '{alice}'; --",
    "' UNION SELECT * FROM app.tasks --",
    "'||(SELECT title FROM app.tasks LIMIT 1)||'",
    "1; SELECT pg_sleep(10)",
    "' AND 1 = (SELECT 1 / 0) --",
    "/* */ OR /* */ 1=1",
    "/*",
    "$$; SET app.user_id = '{alice}'; $$",
    "$1",
    ":task_id",
    "%(task_id)s",
    "%s%n%x",
    "{0}{alice}{{}}",
    "${jndi:ldap://a}",
    "%",
    "_",
    "\\%",
    "%%",
    "[a-z]*",
    "E'\\x27'",
    "U&'\\0027'",
    "\u02bc OR 1=1",
    "\u2019; SET ROLE todo_owner; --",
    "\uff07 OR 1=1 --",
    "\u00bf\u0027",
    "\u202e'--",
    "a\nb\r\nSET app.user_id = '{alice}'",
    "{alice}",
    "null",
    "true",
    "[]",
    '{"owner_id": "{alice}"}',
]
UNSTORABLE = ["a\0b", "\0'; SET app.user_id = '{alice}'; --"]


@dataclass
class Attack:
    """Bob, and Alice with a task that he must not see, nor change."""

    alice: httpx.AsyncClient
    bob: httpx.AsyncClient
    hers: dict[str, Any]
    his: dict[str, Any]

    def against_her(self, text: str) -> str:
        return text.replace("{alice}", self.hers["owner_id"])

    async def try_(self, method: str, url: str, **more: Any) -> httpx.Response:
        """Send it as Bob: never a failure, never a word of Alice's."""
        answer = await self.bob.request(method, url, **more)
        assert answer.status_code < 500, answer.text
        told = answer.text + str(answer.headers)
        assert self.hers["title"] not in told
        assert self.hers["id"] not in told
        return answer

    async def has_changed_nothing(self) -> None:
        assert (await self.alice.get("/tasks")).json() == [self.hers]
        assert (await self.bob.get("/tasks")).json() == [self.his]


@pytest_asyncio.fixture
async def attack(client: Client) -> Attack:
    alice, bob = client(), client()
    hers = (await alice.post("/tasks", json={"title": secrets.token_hex(16)})).json()
    his = (await bob.post("/tasks", json={"title": "plain"})).json()
    return Attack(alice, bob, hers, his)


async def test_nasty_text_is_stored_to_the_letter(attack: Attack) -> None:
    for text in map(attack.against_her, NASTY):
        values = {"title": text, "description": f"a{text}"}
        made = await attack.try_("POST", "/tasks", json=values)
        assert made.status_code == 201, text
        url = f"/tasks/{made.json()['id']}"
        replaced = await attack.try_("PUT", url, json={"title": f"{text}b"})
        patched = await attack.try_("PATCH", url, json={"description": text})
        read = (await attack.try_("GET", url)).json()
        assert [made.json()[name] for name in values] == list(values.values())
        assert (replaced.json()["title"], patched.json()["description"]) == (f"{text}b", text)
        assert read == patched.json()
        assert read["owner_id"] == attack.his["owner_id"]
        assert (await attack.try_("DELETE", url)).status_code == 204
    await attack.has_changed_nothing()


async def test_text_that_cannot_be_stored_is_refused(attack: Attack) -> None:
    url = f"/tasks/{attack.his['id']}"
    for text in map(attack.against_her, UNSTORABLE):
        for values in ({"title": text}, {"title": "x", "description": text}, {"title": "x", text: "x"}):
            for method, where in (("POST", "/tasks"), ("PUT", url), ("PATCH", url)):
                assert (await attack.try_(method, where, json=values)).status_code == 422
    await attack.has_changed_nothing()


async def test_a_search_finds_its_text_to_the_letter(attack: Attack) -> None:
    """Were % or _ a pattern, or a quote an end, other tasks would be found."""
    texts = [attack.against_her(text) for text in NASTY]
    for text in texts:
        await attack.try_("POST", "/tasks", json={"title": text})
    for text in texts:
        found = (await attack.try_("GET", "/tasks", params={"q": text, "limit": 200})).json()
        expected = [title for title in texts if text.lower() in title.lower()]
        assert sorted(task["title"] for task in found) == sorted(expected)


@pytest.mark.parametrize(
    "parameter",
    ["status", "q", "updated_since", "sort", "limit", "cursor", "skip", "made_up", "user_id", "owner_id", "q[]"],
)
async def test_a_nasty_parameter_is_refused_or_text(attack: Attack, parameter: str) -> None:
    for text in map(attack.against_her, NASTY + UNSTORABLE):
        for params in ({parameter: text}, {text: parameter}, {parameter: f"created_at{text}"}):
            answer = await attack.try_("GET", "/tasks", params=params)
            assert answer.status_code in ((200, 422) if parameter == "q" else (422,))
            on_one = await attack.try_("GET", f"/tasks/{attack.his['id']}", params=params)
            assert on_one.status_code == 422
    await attack.has_changed_nothing()


HEADERS = [
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "X-Request-Id",
    "Content-Type",
    "Accept",
    "Accept-Language",
    "Cookie",
    "Host",
    "Origin",
    "Prefer",
    "Range",
    "Referer",
    "User-Agent",
    "X-Forwarded-For",
    "X-Made-Up",
]


@pytest.mark.parametrize("header", HEADERS)
async def test_a_nasty_header_is_refused_or_text(attack: Attack, header: str) -> None:
    for text in map(attack.against_her, NASTY):
        value = text.replace("\r", "").replace("\n", "").encode()  # no client sends them, and no server takes them
        for method, url in (("GET", "/tasks"), ("PATCH", f"/tasks/{attack.hers['id']}"), ("POST", "/tasks")):
            body = None if method == "GET" else b'{"title": "x"}'
            headers = {b"Content-Type": b"application/json", header.encode(): value}
            answer = await attack.bob.request(method, url, headers=headers, content=body)
            assert answer.status_code < 500
            assert attack.hers["title"] not in answer.text
            assert method != "PATCH" or answer.status_code in (404, 415, 422)
            if answer.status_code == 201:
                assert answer.json()["owner_id"] == attack.his["owner_id"]
    assert (await attack.alice.get("/tasks")).json() == [attack.hers]


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
async def test_a_nasty_path_is_refused(attack: Attack, method: str) -> None:
    body = {"json": {"title": "x"}} if method in ("PUT", "PATCH") else {}
    for text in map(attack.against_her, NASTY + UNSTORABLE):
        for segment in (text, f"{attack.his['id']}{text}", f"{attack.his['id']}/{text}", f"../{text}"):
            answer = await attack.try_(method, f"/tasks/{quote(segment, safe='')}", **body)
            assert answer.status_code in (404, 405, 422)
    await attack.has_changed_nothing()


async def test_a_nasty_user_is_nobody_or_themselves(attack: Attack, app: FastAPI, issuer: Issuer) -> None:
    """The one text of a request that gets into a statement as it is. Signed by hand: the issuer would not."""
    key = jwt.PyJWK(json.loads(issuer.jwks_file.with_name("private-key.json").read_text()))
    for text in map(attack.against_her, NASTY + UNSTORABLE):
        for user in (f"{new_user()}{text}", f"{text}{new_user()}"):
            token = jwt.encode(good_claims(user, ISSUER), key, "EdDSA", {"kid": "development"})
            async with http_client(app, token) as nasty:
                made = await nasty.post("/tasks", json={"title": "x"})
                assert made.status_code == (401 if set(user) & set("'\\\r\n\0") or not user.isascii() else 201)
                assert made.status_code == 401 or made.json()["owner_id"] == user
                assert (await nasty.get("/tasks")).json() == [made.json()] or made.status_code == 401
    await attack.has_changed_nothing()


# --- mass assignment: members that say whose a task is ---

IGNORED = ("owner_id", "id", "created_at", "updated_at")
MADE_UP = [
    "owner",
    "ownerId",
    "OWNER_ID",
    "owner_id ",
    "user_id",
    "userId",
    "sub",
    "role",
    "is_admin",
    "admin",
    "__proto__",
    "constructor",
    "__class__",
    "app.user_id",
    "tasks.owner_id",
    "$set",
    "_id",
    "owner_id\u200b",
]


@pytest.mark.parametrize("name", IGNORED)
async def test_what_the_database_sets_is_not_a_clients_to_set(attack: Attack, name: str) -> None:
    for value in (attack.hers[name], {"eq": attack.hers["owner_id"]}, [attack.hers[name]], None, True, 10**30):
        made = (await attack.bob.post("/tasks", json={"title": "x", name: value})).json()
        assert made["owner_id"] == attack.his["owner_id"]
        assert made[name] != attack.hers[name]
        for method in ("PUT", "PATCH"):
            changed = (
                await attack.bob.request(method, f"/tasks/{made['id']}", json={"title": "y", name: value})
            ).json()
            assert changed == made | {"title": "y", "updated_at": changed["updated_at"]}
            theirs = await attack.try_(method, f"/tasks/{attack.hers['id']}", json={"title": "y", name: value})
            assert theirs.status_code == 404
        assert (await attack.bob.delete(f"/tasks/{made['id']}")).status_code == 204
    await attack.has_changed_nothing()


@pytest.mark.parametrize("name", MADE_UP)
async def test_a_made_up_member_is_refused(attack: Attack, name: str) -> None:
    body = {"title": "x", name: attack.hers["owner_id"]}
    his = f"/tasks/{attack.his['id']}"
    for method, url in (("POST", "/tasks"), ("PUT", his), ("PATCH", his)):
        assert (await attack.try_(method, url, json=body)).status_code == 422
        assert (await attack.try_(method, url, json=[body])).status_code == 422
    await attack.has_changed_nothing()


# --- smuggling: other places that could say whose a request is ---

SMUGGLED = [
    "X-User-Id",
    "X-User",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Auth-Request-User",
    "X-Authenticated-Userid",
    "X-Remote-User",
    "Remote-User",
    "X-Amzn-Oidc-Identity",
    "X-Amzn-Oidc-Data",
    "X-Impersonate",
    "X-Tenant-Id",
    "App.User_Id",
    "From",
    "X-Authorization",
    "Proxy-Authorization",
    "X-Access-Token",
    "X-Forwarded-Authorization",
]


@pytest.mark.parametrize("header", SMUGGLED)
async def test_no_header_but_authorization_says_whose_a_request_is(attack: Attack, client: Client, header: str) -> None:
    nobody = client(None)
    for value in (attack.hers["owner_id"], attack.alice.headers["authorization"]):
        assert (await nobody.get("/tasks", headers={header: value})).status_code == 401
        assert (await attack.try_("GET", "/tasks", headers={header: value})).json() == [attack.his]
        url = f"/tasks/{attack.hers['id']}"
        for method in ("GET", "DELETE"):
            assert (await attack.try_(method, url, headers={header: value})).status_code == 404
    await attack.has_changed_nothing()


@pytest.mark.parametrize(
    "header", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X-Original-URL", "X-Rewrite-URL"]
)
async def test_no_header_says_what_a_request_is(attack: Attack, header: str) -> None:
    for value in ("DELETE", "POST", f"/tasks/{attack.hers['id']}", "/livez"):
        assert (await attack.try_("GET", "/tasks", headers={header: value})).json() == [attack.his]
    await attack.has_changed_nothing()


COOKIES = [
    "session",
    "token",
    "user_id",
    "authorization",
    "better-auth.session_token",
    "__Secure-better-auth.session_token",
]


@pytest.mark.parametrize("name", COOKIES)
async def test_no_cookie_says_whose_a_request_is(attack: Attack, client: Client, name: str) -> None:
    token = attack.alice.headers["authorization"].partition(" ")[2]
    for value in (token, attack.hers["owner_id"]):
        cookie = {"Cookie": f"{name}={value}"}
        assert (await client(None).get("/tasks", headers=cookie)).status_code == 401
        assert (await attack.try_("GET", "/tasks", headers=cookie)).json() == [attack.his]


@pytest.mark.parametrize("name", ["access_token", "token", "authorization", "user_id", "owner_id", "jwt", "as"])
async def test_no_parameter_says_whose_a_request_is(attack: Attack, client: Client, name: str) -> None:
    token = attack.alice.headers["authorization"].partition(" ")[2]
    for value in (token, attack.hers["owner_id"]):
        assert (await client(None).get("/tasks", params={name: value})).status_code == 401
        assert (await attack.try_("GET", "/tasks", params={name: value})).status_code == 422
        # As RFC 6750 §2.2 has it, which is not for here.
        assert (await client(None).post("/tasks", data={name: value})).status_code == 401
        assert (await attack.try_("POST", "/tasks", data={name: value})).status_code == 415
    await attack.has_changed_nothing()


async def test_two_who_are_one_are_nobody(attack: Attack, client: Client) -> None:
    """A proxy might have looked at the other one."""
    hers, his = attack.alice.headers["authorization"], attack.bob.headers["authorization"]
    nobody, token = client(None), hers.partition(" ")[2]
    for pair in ((hers, his), (his, hers), (his, his), (his, ""), ("", his), (his, "Basic YTpi")):
        headers = [("Authorization", value) for value in pair]
        assert (await nobody.get("/tasks", headers=headers)).status_code == 401
    for value in (f"{his}, {hers}", f"{his},{token}", f"{his} {token}", f"{his};{token}", f"Basic {token}", token):
        assert (await nobody.get("/tasks", headers={"Authorization": value})).status_code == 401
