"""The desk behind nginx, by the words of docs/how-to/reverse-proxy.md: https, cookies, both kinds of request, WebSocket."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from ctiserver.lab.privatepbx.ports import free_port
from tests.support.eventually import eventually
from tests.support.served import PASSWORD, Site

pytestmark = pytest.mark.nginx
PAGE = Path(__file__).parents[2] / "docs/how-to/reverse-proxy.md"


#: Another address than the proxy's own; all of 127.0.0.0/8 is this machine.
_CLIENT = "127.0.0.2"


def recipe(port: int, upstream: int, certificate: Path) -> str:
    """The page's configuration, with this test's ports and certificate in place of the names that it has."""
    (text,) = re.findall(r"```nginx\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    for old, new in {
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/etc/letsencrypt/live/cti.example.com/fullchain.pem": str(certificate / "cert.pem"),
        "/etc/letsencrypt/live/cti.example.com/privkey.pem": str(certificate / "key.pem"),
        "server_name cti.example.com;": "server_name localhost;",
        "http://127.0.0.1:8080": f"http://127.0.0.1:{upstream}",
    }.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@asynccontextmanager
async def nginx(folder: Path, port: int, upstream: int) -> AsyncIterator[None]:
    """nginx with the recipe, everything that it writes in ``folder``; it ends with the block."""
    folder.mkdir()
    await asyncio.to_thread(
        subprocess.run,
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    paths = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\n{user}pid {folder}/pid;\nerror_log {folder}/error.log;\n"
        f"events {{}}\nhttp {{\naccess_log off;\n{paths}{recipe(port, upstream, folder)}}}\n"
    )
    process = await asyncio.create_subprocess_exec(
        shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") or "nginx",
        *("-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")),
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        _, said = await process.communicate()
        assert process.returncode in (0, -15), said.decode()


async def test_the_desk_works_through_nginx(tmp_path: Path) -> None:
    port, upstream = free_port(), free_port()
    outside = f"https://localhost:{port}"
    site = Site.made(tmp_path / "site", CTISERVER_WEB__PORT=str(upstream), CTISERVER_WEB__PUBLIC_URL=outside)
    text = site.config.read_text(encoding="utf-8")
    assert text.count("  # trusted_proxies:") == 1  # as shipped: the admin takes the mark away
    site.config.write_text(text.replace("  # trusted_proxies:", "  trusted_proxies:"), encoding="utf-8")
    await asyncio.to_thread(site.add_user, "agent1", "agent", "--extension", "101")
    await asyncio.to_thread(site.add_user, "admin1", "admin")
    with site.served():
        async with nginx(tmp_path / "nginx", port, upstream):
            trusted = ssl.create_default_context(cafile=str(tmp_path / "nginx/cert.pem"))
            jar = aiohttp.CookieJar()
            async with aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=trusted, local_addr=(_CLIENT, 0)),
                cookie_jar=jar,
                headers={"Origin": outside},
            ) as browser:

                async def answers() -> int:
                    try:
                        async with browser.get(f"{outside}/healthz") as response:
                            return response.status
                    except aiohttp.ClientConnectorError:
                        return 0

                await eventually(answers, lambda status: status == 200)
                await _works(browser, outside)


async def _works(browser: aiohttp.ClientSession, outside: str) -> None:
    async with browser.get(f"{outside}/") as page:
        assert page.status == 200
        assert "text/html" in page.headers["Content-Type"]
    credentials = {"login": "agent1", "password": PASSWORD}
    async with browser.post(f"{outside}/api/v1/session", json=credentials) as logged_in:
        assert logged_in.status == 201, await logged_in.text()
        cookie = logged_in.headers["Set-Cookie"]
        assert cookie.startswith("__Host-ctiserver_session=")
        assert "Secure" in cookie
    async with browser.post(f"{outside}/api/v1/tickets") as response:
        ticket = (await response.json())["ticket"]
    async with browser.ws_connect(f"{outside}/ws?ticket={ticket}") as socket:
        await socket.send_json({"op": "subscribe", "topic": "queues:all"})
        assert (await socket.receive_json(timeout=20))["kind"] == "snapshot"
    async with browser.get(f"{outside}/metrics") as refused:
        assert refused.status == 403
    async with browser.get(f"{outside}/readyz") as ready:
        assert "reasons" not in await ready.json()
    # Where the client is, as nginx says it; what the client says itself is nothing to go by.
    spoofed = {"X-Forwarded-For": "198.51.100.7"}
    await browser.post(f"{outside}/api/v1/session", json={"login": "agent1", "password": "wrong"}, headers=spoofed)
    await browser.post(f"{outside}/api/v1/session", json={"login": "admin1", "password": PASSWORD})
    async with browser.get(f"{outside}/api/v1/audit?act=log_in_failed") as audit:
        assert [entry["peer"] for entry in (await audit.json())["entries"]] == [_CLIENT]
    foreign = {"Origin": "https://elsewhere.example.com"}
    async with browser.post(f"{outside}/api/v1/tickets", headers=foreign) as refused:
        assert refused.status == 403
