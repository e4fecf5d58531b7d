"""Where the time of a generated frame goes: `python -m benchmarks.per_frame --name NAME`.

Every stage is timed by itself on the same frames, in wall and CPU milliseconds per frame, and the whole generator
with the file writer beside it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import configargparse
import numpy as np

from benchmarks.table import report
from data_prep.audio import window_pcm
from data_prep.paste_back import paste_patch, plan_paste
from data_prep.recipe_328 import SAMPLE_RATE_HZ, SAMPLES_PER_FRAME, window_samples
from services.container import build_services
from services.video_writer import write_video


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = configargparse.ArgParser(description=__doc__.split("\n")[0])
    parser.add("--name", required=True, help="the avatar")
    parser.add("--avatars_dir", type=Path, default=Path("avatars"))
    parser.add("--frames", type=int, default=75)
    parser.add("--threads", type=int, default=0, help="CPU threads per network (0: all cores)")
    parser.add("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add("--json", type=Path, help="write the numbers here as well")
    options = parser.parse_args(arguments)
    services = build_services(options.avatars_dir, options.device, options.threads)
    model = services.models.open(options.name)
    count = min(options.frames, model.avatar.manifest.frames)
    random = np.random.default_rng(0)
    pcm_S = (0.1 * random.standard_normal(count * SAMPLES_PER_FRAME)).astype(np.float32)
    windows = window_pcm(pcm_S, 0, count, window_samples(model.avatar.manifest.recipe["audio_features"]))
    gates = np.ones(count, np.float32)
    shown = list(range(count))
    rows: list[tuple[str, float, float]] = []

    def timed(stage: str, work: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        result = work()
        rows.append((stage, (time.perf_counter() - wall) * 1e3 / count, (time.process_time() - cpu) * 1e3 / count))
        return result

    pictures = timed("decode template frame", lambda: [model.template.frame(i) for i in shown])
    embeddings = timed("audio features and encoder", lambda: model.encode_audio(windows, gates))
    timed("template encoder, first time", lambda: model.encode_template(shown))
    features = timed("template encoder, cached", lambda: [model.encode_template([i])[0] for i in shown])
    patches = timed("decoder", lambda: model.decode(features, embeddings))
    plans = timed(
        "plan of the paste", lambda: [plan_paste(model.avatar.affine_T23[i], *pictures[0].shape[:2]) for i in shown]
    )
    timed(
        "paste",
        lambda: [paste_patch(p.copy(), patch, plan) for p, patch, plan in zip(pictures, patches, plans, strict=True)],
    )
    pieces = [pcm_S[i : i + SAMPLE_RATE_HZ] for i in range(0, len(pcm_S), SAMPLE_RATE_HZ)]
    timed("all but the file", lambda: sum(1 for _ in services.frames.generate(model, pieces)))
    manifest = model.avatar.manifest
    with tempfile.TemporaryDirectory() as folder:
        frames = services.frames.generate(model, pieces)
        timed(
            "all with H.264 file",
            lambda: write_video(Path(folder) / "x.mp4", frames, manifest.width, manifest.height, None),
        )
    title = f"{options.name}, {manifest.width}x{manifest.height} px, {count} frames, {model.provider}"
    whole = rows[-1][1]
    table = [(stage, wall, cpu, f"{100 * wall / whole:.0f} %") for stage, wall, cpu in rows]
    report(title, ["stage", "wall ms/frame", "CPU ms/frame", "of the whole"], table, options.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
