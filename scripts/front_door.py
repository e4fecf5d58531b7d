"""Make the pictures of the README from the product itself: `.venv/bin/python scripts/front_door.py`.

docs/pictures/demo.webp is the demo avatar saying a sentence (inference_328.py), docs/pictures/page.png the page while
she speaks (api.py in headless Chromium).
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import configargparse
import cv2
import numpy as np

_CODE: Final = Path(__file__).resolve().parent.parent
_TEXT: Final = "Hello! Nobody was filmed for this, and nobody ever said it. I am made of numbers."
_SIDE_PX: Final = 384
_EVERY: Final = 2  # frames: 12.5 pictures a second show speech well enough for a README
_MOST_BYTES: Final = 2_000_000
_VIEW: Final = {"width": 1180, "height": 820}


def animated(video: Path, out: Path) -> None:
    """A video as an animated WebP, small enough to be loaded with a page."""
    with av.open(str(video)) as reader, av.open(str(out), "w", format="webp", options={"loop": "0"}) as writer:
        stream = writer.add_stream(
            "libwebp_anim", rate=Fraction(25, _EVERY), options={"quality": "88", "compression_level": "6"}
        )
        stream.width = stream.height = _SIDE_PX
        stream.pix_fmt = "yuv420p"
        for number, frame in enumerate(reader.decode(video=0)):
            if number % _EVERY:
                continue
            picture = cv2.resize(frame.to_ndarray(format="rgb24"), (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
            shown = av.VideoFrame.from_ndarray(np.asarray(picture, np.uint8), format="rgb24")
            shown.pts, shown.time_base = number // _EVERY, Fraction(_EVERY, 25)
            writer.mux(stream.encode(shown))
        writer.mux(stream.encode(None))


@contextlib.contextmanager
def served() -> Iterator[str]:
    """The address of a server that is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    server = subprocess.Popen([sys.executable, "api.py", "--port", str(port)], cwd=_CODE)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/readyz"):
                break
            time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait()


def photograph(address: str, out: Path, dark: bool) -> None:
    """The page in the middle of a sentence."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("google-chrome")
    flags = ["--no-sandbox", "--mute-audio", "--autoplay-policy=no-user-gesture-required"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=flags)
        page = browser.new_page(viewport=_VIEW, color_scheme="dark" if dark else "light", bypass_csp=True)  # type: ignore[arg-type]
        page.goto(address)
        page.wait_for_function("window.avatar328 && document.getElementById('canvas').width > 300")
        page.fill("#text", _TEXT)
        page.click("#speak")
        page.wait_for_function("window.avatar328.player.state === 'speaking'", timeout=60_000)
        page.wait_for_timeout(2500)  # into the second sentence
        page.wait_for_function("window.avatar328.player.state === 'speaking'", timeout=60_000)
        page.screenshot(path=str(out))
        browser.close()


def main(arguments: list[str] | None = None) -> int:
    """Make both pictures."""
    parser = configargparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=_CODE / "docs" / "pictures")
    parser.add_argument("--dark", action="store_true", help="the page in its dark colours")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "demo.mp4"
        said = ["--name", "demo", "--text", _TEXT, "--out", str(video)]
        subprocess.run([sys.executable, "inference_328.py", *said], cwd=_CODE, check=True)
        animated(video, options.out / "demo.webp")
    size = (options.out / "demo.webp").stat().st_size
    if size > _MOST_BYTES:
        sys.stderr.write(f"demo.webp has {size} bytes, more than the {_MOST_BYTES} a page should load\n")
        return 1
    with served() as address:
        photograph(address, options.out / "page.png", options.dark)
    return 0


if __name__ == "__main__":
    sys.exit(main())
