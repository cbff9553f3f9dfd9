"""The console's files: what is sent, with which headers, and that nothing else is."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest

from ctiserver.errors import UserFault
from ctiserver.resources import package_file
from ctiserver.settings import WebSettings
from ctiserver.web.server import Origin
from tests.support.desk import Browser, Desk, desk

STATIC = package_file("web", "static")
VENDORED = (STATIC / "vendor", Path(__file__).parents[1] / "e2e" / "vendor")


async def test_the_page_and_every_file_it_names_are_served(running: Desk, browser: Browser) -> None:
    page = await (await browser.ask("GET", "/")).text()
    named = set(re.findall(r'"(/static/[^"]+)"', page))
    modules = {path for path in named if path.endswith(".js")}
    seen: set[str] = set()
    while modules:
        path = modules.pop()
        seen.add(path)
        response = await browser.ask("GET", path)
        assert response.status == 200, path
        assert response.content_type == "text/javascript"
        modules |= set(re.findall(r'"(/static/[^"]+\.js)"', await response.text())) - seen
        for name in re.findall(r'(?:from|import)\s*\(?"(\.[^"]+)"', await response.text()):
            target = "/" + str((Path(path).parent / name).resolve()).lstrip("/")
            if target not in seen:
                modules.add(target)
    for path in named - seen:
        assert (await browser.ask("GET", path)).status == 200, path
    shipped = {f"/static/{path.relative_to(STATIC)}" for path in STATIC.rglob("*.js")}
    assert seen == shipped, "a module that no page imports is dead"


async def test_only_our_own_code_may_run(running: Desk, browser: Browser) -> None:
    response = await browser.ask("GET", "/")
    policy = dict(part.split(" ", 1) for part in response.headers["Content-Security-Policy"].split("; "))
    inline = re.findall(r"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", await response.text(), re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inline]
    assert policy["script-src"] == " ".join(["'self'", *(f"'sha256-{digest}'" for digest in digests)])
    assert policy["default-src"] == "'none'"
    assert policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert not any("unsafe" in value for value in policy.values())
    assert "style=" not in await response.text()
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"


async def test_answers_of_the_api_are_not_kept_by_browsers(agent: Browser) -> None:
    response = await agent.ask("GET", "/api/v1/me")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Request-Id"]


async def test_an_unchanged_file_is_not_sent_again(browser: Browser) -> None:
    first = await browser.ask("GET", "/static/app.js")
    second = await browser.ask("GET", "/static/app.js", If_None_Match=first.headers["ETag"])
    assert second.status == 304
    assert "Content-Length" not in second.headers
    changed = await browser.ask("GET", "/static/app.js", If_None_Match='"0"')
    assert changed.status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/",
        "/static/index.html",
        "/etc/passwd",
        "/api/v1/nothing",
    ],
)
async def test_what_is_no_file_of_the_console_is_not_served(browser: Browser, path: str) -> None:
    response = await browser.ask("GET", path)
    assert response.status == 404
    assert (await response.json(content_type="application/problem+json"))["code"] == "not_found"


async def test_a_method_that_an_address_does_not_take(browser: Browser) -> None:
    response = await browser.ask("POST", "/static/app.js")
    assert response.status == 405
    assert "GET" in response.headers["Allow"]


@pytest.mark.parametrize(
    ("content_type", "body", "code"),
    [
        ("application/json", b"{", "invalid"),
        ("application/json", b'{"login": "a", "password": "b", "more": 1}', "invalid"),
        ("text/plain", b'{"login": "a", "password": "b"}', "invalid"),
        ("application/x-www-form-urlencoded", b"login=a&password=b", "invalid"),
        ("application/json", b'"' + b"x" * 300_000 + b'"', "too_large"),
    ],
    ids=["no json", "unknown member", "plain text", "a form", "too large"],
)
async def test_a_body_that_does_not_fit_is_refused(
    running: Desk, browser: Browser, content_type: str, body: bytes, code: str
) -> None:
    async with browser.http.post(
        f"{running.url}/api/v1/session", data=body, headers={"Origin": running.url, "Content-Type": content_type}
    ) as response:
        problem = await response.json(content_type="application/problem+json")
    assert problem["code"] == code
    assert problem["status"] == response.status


async def test_a_refused_password_is_not_said_back(browser: Browser) -> None:
    response = await browser.ask("POST", "/api/v1/session", {"login": "agent1", "password": "s3cret" * 100})
    assert response.status == 422
    assert "s3cret" not in await response.text()


async def test_what_fails_inside_says_nothing_of_the_inside(
    running: Desk, agent: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(agent_id: str) -> None:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr(running.features.pops, "shown_to", broken)
    problem = await agent.json("GET", "/api/v1/pops/mine", status=500)
    assert problem["code"] == "internal"
    assert "secret" not in json.dumps(problem)
    assert problem["request_id"] in problem["title"]


@pytest.mark.parametrize("folder", VENDORED, ids=["shipped", "for tests"])
def test_vendored_files_are_those_that_were_bundled(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != "manifest.json"
    }
    assert found == manifest["sha256"]
    assert any(name.endswith(".LICENSE") for name in found)


async def test_a_port_in_use_is_one_sentence_that_names_the_setting(running: Desk, tmp_path: Path) -> None:
    port = int(running.url.rsplit(":", 1)[1])
    (tmp_path / "second").mkdir()
    with pytest.raises(UserFault, match=rf"setting web.port: port {port} on 127.0.0.1 is in use"):
        async with desk(tmp_path / "second", web=WebSettings(port=port)):
            pytest.fail("it listens on a port that is taken")


@pytest.mark.parametrize(
    ("public_url", "origin"),
    [
        ("", "http://127.0.0.1:8080"),
        ("https://desk.example.com", "https://desk.example.com"),
        ("https://Desk.example.com:443/", "https://desk.example.com"),
        ("http://desk:8081", "http://desk:8081"),
    ],
)
def test_the_origin_is_written_as_browsers_write_it(public_url: str, origin: str) -> None:
    assert Origin.of(WebSettings(public_url=public_url), 8080).url == origin


@pytest.mark.parametrize(
    "public_url", ["desk.example.com", "ftp://desk", "https://", "https://desk/console", "https://desk?x"]
)
def test_a_public_url_that_is_none_names_the_setting(public_url: str) -> None:
    with pytest.raises(UserFault, match=r"setting web.public_url: .* is not a server's address"):
        Origin.of(WebSettings(public_url=public_url), 8080)
