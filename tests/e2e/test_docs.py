"""/docs in a real browser, under its Content-Security-Policy."""

from service.dev.issuer import Issuer
from tests.conftest import new_user
from tests.e2e.conftest import Visit


def test_a_token_that_is_pasted_into_the_docs_creates_a_task(api: str, issuer: Issuer, visit: Visit) -> None:
    seen = visit("docs.js", API_URL=api, TOKEN=issuer.token(new_user(), expires_in=900))
    assert seen == {"complaints": [], "elsewhere": [], "operations": 8, "status": "201"}
