"""What somebody sees who opens the page for the first time: `.venv/bin/python scripts/first_visit.py`.

A real server in folders of its own, and Chromium that meets the avatar, plays the take again, seeks, switches captions
off, saves the MP4, makes an avatar of a clip, speaks with it and deletes it, as a hand would: by clicks alone. Prints
clicks and milliseconds; every look of the page is photographed at three sizes, light and dark.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import av
import configargparse
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.measures.service import Server
from benchmarks.table import Cell, report

_CODE: Final = Path(__file__).resolve().parent.parent
_SIZES: Final = {"desktop": (1440, 900), "tablet": (820, 1180), "phone": (390, 844)}
_FLAGS: Final = ["--no-sandbox", "--mute-audio", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
_NAME: Final = "visitor"
_DIALOGS: Final = {
    "voice": "voices-close",
    "code-open": "code-close",
    "create-open": "create-close",
    "talk-open": "talk-close",
}
_LOUD: Final = 0.01
_LOOK_MS: Final = 50

# Counts clicks, and notes when the loudspeaker gets the first sound after the last one.
_WATCH: Final = f"""() => {{
  window.visit = {{ clicks: 0, clicked: 0, heard: null }};
  addEventListener("click", (event) => {{
    if (!event.isTrusted) return;
    visit.clicks += 1;
    [visit.clicked, visit.heard] = [performance.now(), null];
  }}, true);
  const ears = new WeakMap();
  setInterval(() => {{
    const output = window.avatar328?.player.sound?.output;
    if (!output || visit.heard !== null) return;
    if (!ears.has(output)) {{
      const ear = new AnalyserNode(output.context, {{ fftSize: 512 }});
      output.connect(ear);
      ears.set(output, ear);
    }}
    const samples = new Float32Array(512);
    ears.get(output).getFloatTimeDomainData(samples);
    if (samples.some((sample) => Math.abs(sample) > {_LOUD})) visit.heard = performance.now();
  }}, 4);
}}"""
_STATE: Final = "avatar328.player.state"
_SPEAKING: Final = f"['speaking', 'replaying'].includes({_STATE})"


class VisitError(RuntimeError):
    """The page did not do what a visitor expects."""


@dataclass
class Visit:
    """A page, and what was found out on it."""

    page: Page
    rows: list[list[Cell]] = field(default_factory=list)

    def note(self, what: str, clicks: int, ms: float, found: str = "") -> None:
        """A row of the table."""
        self.rows.append([what, clicks, ms, found])
        sys.stderr.write(f"{what}: {ms:.0f} ms {found}\n")

    def until(self, condition: str, timeout_s: float = 60.0) -> float:
        """Wait for a JavaScript expression; how long it took, ms.

        Raises:
            VisitError: it did not become true.
        """
        begun = time.monotonic()
        while not self.page.evaluate(f"Boolean({condition})"):
            if time.monotonic() - begun > timeout_s:
                raise VisitError(f"not within {timeout_s:.0f} s: {condition}; the page says {self.told()!r}")
            self.page.wait_for_timeout(_LOOK_MS)
        return 1e3 * (time.monotonic() - begun)

    def told(self) -> str:
        """What the page says has gone wrong."""
        return str(
            self.page.evaluate(
                "['notice', 'create-problem', 'remove-problem'].map((id) => "
                "document.getElementById(id).innerText).join(' ').trim()"
            )
        )

    def clicks(self) -> int:
        """Since the page was opened."""
        return int(self.page.evaluate("visit.clicks"))

    def heard_ms(self) -> float:
        """From the last click to the first sound."""
        self.until("visit.heard !== null && visit.heard > visit.clicked")
        return float(self.page.evaluate("visit.heard - visit.clicked"))


def meet(visit: Visit, address: str) -> None:
    """Open, tap, hear."""
    page = visit.page
    page.add_init_script(f"({_WATCH})()")
    begun = time.monotonic()
    page.goto(address, wait_until="commit")
    visit.until("document.getElementById('poster')?.naturalWidth > 0")
    visit.note("open: the avatar is seen", 0, 1e3 * (time.monotonic() - begun))
    visit.until("!document.getElementById('canvas').hidden && !document.getElementById('meet').hidden")
    visit.note("open: it moves", 0, 1e3 * (time.monotonic() - begun))
    page.locator("#examples button").first.click()
    heard_ms = visit.heard_ms()
    visit.note("an example: first sound", visit.clicks(), heard_ms)
    visit.until(f"{_STATE} === 'idle'")
    visit.until("document.querySelectorAll('.take').length === 1")
    told = page.evaluate(
        "(({ underruns, skew_p95_ms }) => `${underruns} stalls, skew ${skew_p95_ms} ms`)(avatar328.player.stats())"
    )
    visit.note("it was said", 0, 1e3 * float(page.evaluate("document.getElementById('seek').max")), told)


def play_again(visit: Visit, asked: Callable[[], int]) -> None:
    """Replay, seek, captions, MP4: nothing is generated again."""
    page, before, clicks = visit.page, asked(), visit.clicks()
    page.click("#play")
    visit.note("replay: it plays", visit.clicks() - clicks, visit.until("avatar328.player.stats().played_s > 0"))
    middle_s = round(float(page.evaluate("document.getElementById('seek').max")) / 2, 2)
    page.locator("#seek").fill(f"{middle_s:.2f}")
    took_ms = visit.until(f"avatar328.player.stats().played_s >= {middle_s}")
    visit.note("seek to the middle", 1, took_ms, f"{middle_s} s")
    if not page.is_visible("#caption"):
        raise VisitError("there is no caption while it plays")
    page.click("#captions")
    if page.is_visible("#caption"):
        raise VisitError("captions are off, and one is seen")
    page.click("#captions")
    page.click("#play")
    begun = time.monotonic()
    with page.expect_download(timeout=120_000) as download:
        page.click("#download")
    took_ms = 1e3 * (time.monotonic() - begun)
    with av.open(str(download.value.path())) as movie:
        frames = sum(1 for _ in movie.decode(video=0))
        found = f"{download.value.suggested_filename}, {frames} frames, {len(movie.streams.audio)} sound"
    visit.note("the MP4", 1, took_ms, found)
    if asked() != before:
        raise VisitError("something was generated again")


def watch(visit: Visit, within_s: float, look: Callable[[str], None]) -> str:
    """Look at a job until its avatar is on stage; when which of its stages began.

    Raises:
        VisitError: it ended without one.
    """
    page, begun = visit.page, time.monotonic()
    looked: dict[str, int] = {}
    while time.monotonic() - begun < within_s and page.evaluate(f"avatar328.page.avatar.name !== '{_NAME}'"):
        stage = page.inner_text("#create-stage") if page.is_visible("#create-stage") else ""
        if stage and stage not in looked:
            looked[stage] = round(time.monotonic() - begun)
            sys.stderr.write(f"  {looked[stage]} s: {stage}\n")
            look(f"job-{len(looked)}")
        if page.is_visible("#create-resume"):
            raise VisitError(f"the job ended: {stage} {visit.told()} {page.inner_text('#create-log')}")
        page.wait_for_timeout(1000)
    visit.until(f"avatar328.page.avatar.name === '{_NAME}' && !document.getElementById('canvas').hidden")
    return "; ".join(f"{stage.partition(': ')[2]} {at_s} s" for stage, at_s in looked.items())


def create(visit: Visit, clip: Path, preset: str, within_s: float, look: Callable[[str], None]) -> None:
    """An avatar of a clip, from the dialog to its first words, with the page closed in between."""
    page = visit.page
    clicks = visit.clicks()
    page.click("#create-open")
    page.set_input_files("#create-file", clip)
    page.fill("#create-name", _NAME)
    page.check("#create-synthetic")
    page.select_option("#create-preset", preset)
    look("create")
    begun = time.monotonic()
    page.click("#create-begin")
    visit.until(
        "document.getElementById('create-progress').value > 0.1 || document.getElementById('create-problem').innerText",
        within_s,
    )
    look("job")
    clicks = visit.clicks() - clicks
    page.reload()  # whoever closes the page finds the job again
    visit.until("!document.getElementById('canvas').hidden")
    page.click("#create-open")
    visit.until("document.getElementById('create-stage').innerText !== ''")
    stages = watch(visit, within_s, look)
    visit.note(f"a new avatar ({preset})", clicks, 1e3 * (time.monotonic() - begun), stages)
    speak_with_it(visit, look)


def speak_with_it(visit: Visit, look: Callable[[str], None]) -> None:
    """The new avatar's first words."""
    page = visit.page
    page.locator("#examples button").first.click()
    visit.note("the new avatar: first sound", 1, visit.heard_ms())
    visit.until(_SPEAKING)
    page.wait_for_timeout(1500)
    look("new-avatar")
    visit.until(f"{_STATE} === 'idle'", 120)


def remove(visit: Visit, folder: Path, look: Callable[[str], None]) -> None:
    """Delete the new avatar; nothing of it is left."""
    page = visit.page
    page.click("#remove-open")
    page.fill("#remove-name", _NAME)
    look("remove")
    page.click("#remove-do")
    took_ms = visit.until(f"avatar328.page.avatar.name !== '{_NAME}'")
    left = list(folder.rglob(f"*{_NAME}*"))
    if left:
        raise VisitError(f"after deleting there is still {left}")
    visit.note("deleted", 2, took_ms, "nothing is left")


def photograph(browser: Browser, address: str, out: Path) -> None:
    """Every look of the page."""
    for size, (width, height) in _SIZES.items():
        for scheme in ("light", "dark"):
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=scheme,
                has_touch=size != "desktop",
            )
            visit = Visit(context.new_page())
            page = visit.page

            def look(name: str, page: Page = page, label: str = f"{size}-{scheme}") -> None:
                page.screenshot(path=out / f"{name}-{label}.png")

            page.goto(address)
            visit.until("!document.getElementById('canvas').hidden")
            look("open")
            page.click("#meet")
            visit.until(_SPEAKING)
            page.wait_for_timeout(1500)
            look("speaking")
            visit.until(f"{_STATE} === 'idle'")
            visit.until("document.querySelectorAll('.take').length === 1")
            page.evaluate("document.getElementById('debug').open = true")
            page.screenshot(path=out / f"whole-{size}-{scheme}.png", full_page=True)
            page.evaluate("document.getElementById('debug').open = false")
            for dialog, close in _DIALOGS.items():
                page.click(f"#{dialog}")
                page.wait_for_timeout(700)
                look(dialog)
                page.click(f"#{close}")
            for path in ("docs", "embed"):
                page.goto(f"{address}/{path}")
                page.wait_for_timeout(700)
                look(path)
            context.close()


def main(arguments: list[str] | None = None) -> int:
    """Visit."""
    parser = configargparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add("--name", default="demo", help="the avatar that is met")
    parser.add(
        "--clip", type=Path, default=_CODE / "tests" / "data" / "presenter.mp4", help="what an avatar is made of"
    )
    parser.add("--preset", default="tiny", help="how long that one is trained; empty: none is made")
    parser.add("--within_s", type=float, default=3600.0, help="for the training")
    parser.add("--pictures", type=Path, help="folder of the photographs; without it none are taken")
    parser.add(
        "--sizes", action="store_true", help="photograph every look of the page at three sizes, light and dark, first"
    )
    parser.add("--json", type=Path, help="write the table here as well")
    options = parser.parse_args(arguments)
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        sys.stderr.write("error: neither chromium nor google-chrome is installed\n")
        return 2
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        folder = Path(place)
        shutil.copytree(_CODE / "avatars" / options.name, folder / "avatars" / options.name)
        settings = {f"CREATE__{name}_DIR": str(folder / name.lower()) for name in ("JOBS", "DATASET", "CHECKPOINT")}
        with Server(folder / "avatars", options.name, folder, settings) as server:
            browser = playwright.chromium.launch(executable_path=program, args=_FLAGS)
            if options.pictures is not None:
                options.pictures.mkdir(parents=True, exist_ok=True)
            if options.sizes and options.pictures is not None:
                photograph(browser, server.address, options.pictures)
            width, height = _SIZES["desktop"]
            visit = Visit(browser.new_page(viewport={"width": width, "height": height}))
            generated: list[str] = []
            visit.page.on(
                "request", lambda request: generated.append(request.url) if "/generate" in request.url else None
            )

            def look(name: str) -> None:
                if options.pictures is not None:
                    visit.page.screenshot(path=options.pictures / f"{name}.png")

            try:
                meet(visit, server.address)
                play_again(visit, lambda: len(generated))
                if options.preset:
                    create(visit, options.clip, options.preset, options.within_s, look)
                    remove(visit, folder, look)
            finally:
                look("last")
                report(f"a first visit, {options.name}", ("what", "clicks", "ms", "found"), visit.rows, options.json)
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
