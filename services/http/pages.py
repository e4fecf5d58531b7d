"""The page and what it loads, at addresses that change with their content, so that browsers keep them for ever.

`/static/v-HASH/app.js`: the hash is of all files, because modules import one another by relative names. What a page
loads is named in its head, so that a browser asks for everything at once, not module by module.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

_VERSION: Final = re.compile(r"v-[0-9a-f]{16}")
_ENTRY: Final = re.compile(r'<script type="module" src="/static/([\w/.-]+)"></script>')
_IMPORT: Final = re.compile(r'^(?:import|export)\b[^;]*?"\./([\w/.-]+)";', re.MULTILINE)
# Low: fifty modules fill a telephone's six connections, and poster and styles are what is seen first.
_PRELOAD: Final = '  <link rel="modulepreload" fetchpriority="low" href="{address}">\n'
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_ASK: Final = "no-cache"  # keep it, and ask whether it is still right

Stamp = tuple[tuple[str, int, int], ...]


class Pages(StaticFiles):
    """Files of one folder, below an address with their version or without."""

    def __init__(self, folder: Path, below: str) -> None:
        """Choose the folder, and the address below which it is served; nothing is read yet."""
        super().__init__(directory=folder, check_dir=False)
        self._folder, self._below = folder, below
        self._known: tuple[Stamp, str] | None = None
        self._reading = threading.Lock()

    def version(self) -> str:
        """Of what lies in the folder now; files are read again only when one changed."""
        files = sorted(path for path in self._folder.rglob("*") if path.is_file())
        stamp = tuple((str(path), path.stat().st_mtime_ns, path.stat().st_size) for path in files)
        with self._reading:
            if self._known is None or self._known[0] != stamp:
                digest = hashlib.sha256()
                for path in files:
                    digest.update(f"{path.relative_to(self._folder)}\0{path.stat().st_size}\0".encode())
                    digest.update(path.read_bytes())
                self._known = stamp, f"v-{digest.hexdigest()[:16]}"
            return self._known[1]

    def page(self, name: str) -> Response:
        """A document whose files are named by their version.

        Args:
            name: of the document, in the folder.
        """
        text = (self._folder / name).read_text(encoding="utf-8")
        modules = [module for entry in _ENTRY.findall(text) for module in self._modules(entry)]
        links = "".join(_PRELOAD.format(address=f"{self._below}/{module}") for module in modules)
        text = text.replace("</head>", f"{links}</head>", 1)
        text = text.replace(f'"{self._below}/', f'"{self._below}/{self.version()}/')
        return HTMLResponse(text, headers={"Cache-Control": _ASK})

    def _modules(self, entry: str) -> Iterator[str]:
        """The modules that one imports, at once or through others; each once."""
        found, waiting = {entry}, [entry]
        while waiting:
            for name in _IMPORT.findall((self._folder / waiting.pop()).read_text(encoding="utf-8")):
                if name not in found:
                    found.add(name)
                    waiting.append(name)
                    yield name

    async def get_response(self, path: str, scope: Scope) -> Response:
        """A file; one of the present version may be kept for ever."""
        version, _, rest = path.partition("/")
        versioned = _VERSION.fullmatch(version) is not None
        present = self._known is not None and version == self._known[1]  # as the page was told
        answer = await super().get_response(rest if versioned else path, scope)
        if answer.status_code in (200, 304):
            answer.headers["Cache-Control"] = _FOR_EVER if present else _ASK
        return answer
