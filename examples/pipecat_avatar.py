"""A Pipecat pipeline with an avatar in it: text, this repository's own voice, the avatar, a file.

    python examples/pipecat_avatar.py --name demo --text "Good morning." --out result/pipecat.mp4

In a pipeline of your own, put your services before AvatarProcessor and a transport behind it; docs/integrations.md
says how the transport has to be set.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # a checkout is not installed

if TYPE_CHECKING:
    from services.container import Services


async def speak(services: Services, name: str, text: str, out: Path) -> int:
    """Run the pipeline until the text was said; returns the number of frames in the file."""
    import numpy as np
    from pipecat.frames.frames import EndFrame, OutputImageRawFrame, TTSAudioRawFrame, TTSSpeakFrame, TTSStoppedFrame
    from pipecat.pipeline.pipeline import Pipeline
    from pipecat.pipeline.worker import PipelineWorker
    from pipecat.processors.frame_processor import FrameProcessor
    from pipecat.workers.runner import WorkerRunner

    from integrations.pipecat_avatar import AvatarProcessor
    from recipe.sound import from_pcm16, to_pcm16
    from services.live.session import LiveSession
    from services.streaming.video_writer import Mp4Writer

    model = services.models.open(name)

    class Voice(FrameProcessor):  # type: ignore[misc, unused-ignore]
        """What speaks: any text-to-speech service of Pipecat does this."""

        async def process_frame(self, frame: Any, direction: Any) -> None:
            await super().process_frame(frame, direction)
            if not isinstance(frame, TTSSpeakFrame):
                await self.push_frame(frame, direction)
                return
            chunks = await asyncio.to_thread(lambda: list(services.tts.synthesize(frame.text)))
            for chunk in chunks:
                await self.push_frame(TTSAudioRawFrame(to_pcm16(chunk.pcm_S).tobytes(), chunk.sample_rate_hz, 1))
            await self.push_frame(TTSStoppedFrame())

    class File(FrameProcessor):  # type: ignore[misc, unused-ignore]
        """What shows: any transport of Pipecat does this."""

        writer: Mp4Writer | None = None
        picture: Any = None

        async def process_frame(self, frame: Any, direction: Any) -> None:
            await super().process_frame(frame, direction)
            if isinstance(frame, OutputImageRawFrame):
                width, height = frame.size
                self.picture = np.frombuffer(frame.image, np.uint8).reshape(height, width, 3)
            elif isinstance(frame, TTSAudioRawFrame):
                height, width = self.picture.shape[:2]
                if self.writer is None:
                    self.writer = Mp4Writer(out, width, height, frame.sample_rate, 1).__enter__()
                self.writer.write(self.picture, from_pcm16(frame.audio)[None])
            await self.push_frame(frame, direction)

    session = LiveSession(services.frames, model, services.tts, idle="bare")
    file = File()
    worker = PipelineWorker(Pipeline([Voice(), AvatarProcessor(session, model), file]), enable_rtvi=False)
    await worker.queue_frames([TTSSpeakFrame(text), EndFrame()])
    runner = WorkerRunner()
    await runner.add_workers(worker)
    await runner.run()
    if file.writer is None:
        return 0
    file.writer.__exit__(None, None, None)
    return file.writer.frames


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a file; returns the exit code."""
    parser = argparse.ArgumentParser(description="A Pipecat pipeline with an avatar in it.")
    parser.add_argument("--name", default="demo", help="the avatar")
    parser.add_argument("--text", required=True, help="what it says")
    parser.add_argument("--out", type=Path, required=True, help="the MP4")
    options = parser.parse_args(arguments)
    import config
    from recipe.errors import UserError
    from services.container import build_services
    from services.speech.engines import build_speech

    try:
        settings = config.settings
        services = build_services(settings.models, build_speech(settings.tts, settings.limits.text_characters))
        services.tts.check(options.text)
        frames = asyncio.run(speak(services, options.name, options.text, options.out))
    except (UserError, config.ConfigError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except ImportError as error:
        sys.stderr.write(f"error: {error.name} is missing: install the extra pipecat\n")
        return 2
    sys.stdout.write(f"{options.out}: {frames} frames\n")
    return 0 if frames else 1


if __name__ == "__main__":
    sys.exit(main())
