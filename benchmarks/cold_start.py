"""The steps of a server's start in a process of their own; benchmarks/first_frame.py starts it and reads its line.

Prints one JSON object: stage -> when it ended, in seconds of the machine's monotonic clock.
"""

from __future__ import annotations

import time

_began_s = time.perf_counter()  # before anything else is imported

import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402


def main(arguments: list[str]) -> int:
    """Start as `api.py` does, step by step: AVATARS_DIR NAME RUNTIME THREADS."""
    avatars_dir, name, runtime_name, threads = Path(arguments[0]), arguments[1], arguments[2], int(arguments[3])
    ended_s = {"interpreter": _began_s}

    def end(stage: str) -> None:
        ended_s[stage] = time.perf_counter()

    import api

    end("imports")
    from recipe.avatar_format import AUDIO_ENCODER_FILE, UNET_DECODER_FILE, UNET_ENCODER_FILE
    from services.avatars.avatar import open_video_avatar
    from services.avatars.loaded import LoadedAvatar
    from services.runtimes.choice import choose_runtime
    from services.runtimes.runtime import Graph, Trial
    from services.speech.engines import build_speech

    app = api.create_app()
    assert app.title
    end("application")
    avatar = open_video_avatar(avatars_dir, name)
    end("open avatar, hashes checked")
    runtime = choose_runtime(runtime_name, "cpu", threads)  # type: ignore[arg-type]
    end("runtime")
    graphs: dict[str, Graph] = {}
    for filename in (UNET_DECODER_FILE, UNET_ENCODER_FILE, AUDIO_ENCODER_FILE):
        graphs[filename] = runtime.load(avatar.folder / filename)
        end(f"load {filename}" + (" and choose the runtime" if filename == UNET_DECODER_FILE else ""))

    class Loaded:
        """Hands out what is loaded already, so that what is left of opening is timed alone."""

        def suits(self, path: Path) -> bool:
            return path.name in graphs

        def load(self, path: Path, trial: Trial | None = None) -> Graph:
            return graphs[path.name]

    LoadedAvatar(avatar, Loaded(), 1 << 20, 1 << 20)
    end("index of the template, first run of each network")
    build_speech().warm_up()
    end("voice")
    sys.stdout.write(json.dumps(ended_s) + "\n")
    sys.stdout.flush()
    os._exit(0)  # what a server does at its end is not part of its start


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
