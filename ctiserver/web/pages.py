"""The console's files: read once at start, served from memory, with the headers that keep foreign code out."""

from __future__ import annotations

import base64
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from ctiserver.resources import package_file
from ctiserver.web.access import PUBLIC
from ctiserver.web.routes import Handler, Route

_TYPES = {".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".json": "application/json"}
#: What keeps the console in a technician's browser, all of it, though the file itself lies among the others.
OFFLINE = "/static/offline.js"
_IMPORT_MAP = re.compile(r'<script type="importmap">(.*?)</script>', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Page:
    """One file as it is sent."""

    content: bytes
    content_type: str
    etag: str

    @classmethod
    def read(cls, path: Path) -> Page:
        content = path.read_bytes()
        kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return cls(content, kind, hashlib.sha256(content).hexdigest()[:32])


class Pages:
    """Every file under ``web/static``, by its address. A path that is not a file's is not served, whatever it says."""

    def __init__(self, folder: Path | None = None) -> None:
        root = folder or package_file("web", "static")
        self.by_address = {
            f"/static/{path.relative_to(root).as_posix()}": Page.read(path)
            for path in sorted(root.rglob("*"))
            if path.is_file() and path.name != "index.html"
        }
        self.by_address["/"] = Page.read(root / "index.html")

    def content_security_policy(self) -> str:
        """Only our own files run; the one inline script, the import map, is named by its hash."""
        found = _IMPORT_MAP.search(self.by_address["/"].content.decode())
        if found is None:
            raise ValueError("index.html holds no import map")
        digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
        return "; ".join(
            (
                "default-src 'none'",
                f"script-src 'self' 'sha256-{digest}'",
                "style-src 'self'",
                "img-src 'self'",
                "media-src 'self'",
                "connect-src 'self'",
                "manifest-src 'self'",
                "base-uri 'none'",
                "form-action 'none'",
                "frame-ancestors 'none'",
                "require-trusted-types-for 'script'",
                "trusted-types lit-html cti-offline",
            )
        )

    def routes(self) -> list[Route]:
        """One public route a file."""
        return [
            Route(method="GET", path=address, handler=_serve(page), roles=PUBLIC)
            for address, page in self.by_address.items()
        ]


def _serve(page: Page) -> Handler:
    async def serve(request: web.Request) -> web.Response:
        # Asked for again each time, and answered with 304: a new version of the server is seen at the next load.
        headers = {"ETag": f'"{page.etag}"', "Cache-Control": "no-cache"}
        if request.path == OFFLINE:
            headers["Service-Worker-Allowed"] = "/"
        if any(tag.value == page.etag for tag in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        charset = "utf-8" if page.content_type.startswith("text/") else None
        return web.Response(body=page.content, content_type=page.content_type, charset=charset, headers=headers)

    return serve
