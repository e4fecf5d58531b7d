"""The parts of an avatar that come from the dataset: template frames, their track, the encoders' inputs.

Axes: T template frames, K landmarks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from data_prep.dataset_328 import Dataset328
from recipe.audio_window import window_pcm
from recipe.avatar_format import AUDIO_ENCODER_FILE, GATE, PCM, REFERENCES, TARGET, UNET_ENCODER_FILE
from recipe.crop import INNER
from recipe.material import GROUP_FRAMES, no_template, template_groups
from recipe.recipe_328 import FPS, window_samples
from recipe.voice_gate import gate
from training.presets import LONGEST_TEMPLATE_S

_SMOOTHING_S = 1.0


@dataclass(frozen=True)
class Template:
    """Which frames of the dataset the avatar is drawn on, half-open."""

    start: int
    stop: int


def choose_template(dataset: Dataset328, longest_s: float = LONGEST_TEMPLATE_S) -> Template:
    """The longest stretch of whole GOPs in one clip with a face in every frame; the calmest of equals.

    Args:
        longest_s: no longer than this; at least one GOP.
    Raises:
        TooLittleMaterialError: there is not one second of it.
    """
    most = max(1, int(longest_s * FPS) // GROUP_FRAMES) * GROUP_FRAMES
    motion = landmark_motion(dataset.landmarks_TK2, dataset.valid_T)
    best: tuple[float, Template] | None = None
    for first, last in template_groups(dataset.valid_T, dataset.clips):
        length = min(most, last - first)
        for start in range(first, last - length + 1, GROUP_FRAMES):
            calm = float(np.mean(motion[start : start + length])) / (1 + float(motion.max()))
            score = length // GROUP_FRAMES - calm
            if best is None or score > best[0]:
                best = (score, Template(start, start + length))
    if best is None:
        raise no_template(dataset.name)
    return best[1]


def landmark_motion(landmarks_TK2: NDArray[np.float32], valid_T: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Mean motion of the landmarks from the frame before, in px per frame, (T,); 0 where either has no face."""
    step = np.linalg.norm(np.diff(landmarks_TK2, axis=0), axis=2).mean(axis=1)
    step = np.where(valid_T[1:] & valid_T[:-1], np.nan_to_num(step), 0)
    return np.concatenate([[0], step]).astype(np.float32)


def copy_frames(source: Path, target: Path, start: int, stop: int) -> None:
    """Copy whole GOPs of a video without touching a pixel: the decoded frames stay the same bit for bit.

    Args:
        source: a dataset's frames.mp4.
        target: the new file.
        start: first frame, at a key frame.
        stop: one past the last.
    Raises:
        ValueError: `start` is no key frame, or the video is shorter than `stop`.
    """
    written = 0
    with av.open(str(source)) as reader, av.open(str(target), "w", options={"movflags": "faststart"}) as writer:
        stream = reader.streams.video[0]
        copy = writer.add_stream_from_template(stream)
        assert stream.time_base is not None
        for packet in reader.demux(stream):
            if packet.pts is None:
                continue
            frame = round(packet.pts * stream.time_base * FPS)
            if frame < start or frame >= stop:
                continue
            if frame == start and not packet.is_keyframe:
                raise ValueError(f"frame {start} of {source} is no key frame; prepare the dataset again")
            offset = round(start / FPS / stream.time_base)
            packet.pts -= offset
            packet.dts = packet.pts
            packet.stream = copy
            writer.mux(packet)
            written += 1
    if written != stop - start:
        raise ValueError(f"{source} holds {written} of the frames {start}..{stop}; prepare the dataset again")


def template_track(dataset: Dataset328, template: Template, references: NDArray[np.int64]) -> dict[str, NDArray]:  # type: ignore[type-arg]
    """What track.npz of an avatar holds; see services.avatars.avatar.Avatar."""
    part = slice(template.start, template.stop)
    motion = landmark_motion(dataset.landmarks_TK2, dataset.valid_T)[part]
    return {
        "affine_T23": dataset.affine_T23[part].astype(np.float32),
        "opening_T": dataset.opening_T[part].astype(np.float32),
        "pose_T3": dataset.pose_T3[part].astype(np.float32),
        "motion_T": _smoothed(motion),
        "references_3HWC": np.stack([dataset.crops[i] for i in references]),
    }


def _smoothed(motion_T: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean over about a second: the template turns where the head rests, not where one frame happens to."""
    width = min(round(_SMOOTHING_S * FPS), len(motion_T))
    padded = np.pad(motion_T, (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid").astype(np.float32)


def encoder_inputs(
    dataset: Dataset328, references: NDArray[np.int64], kind: str, frames: NDArray[np.int64]
) -> dict[str, dict[str, NDArray[Any]]]:
    """What the two encoders are given for some frames.

    Args:
        dataset: the recording.
        references: frame numbers of the reference pictures.
        kind: of the audio features.
        frames: frame numbers; each hears its own sound.
    Returns:
        uint8 inner squares, and PCM with its gate, by graph and by input, in the order of the graph's inputs.
    """
    beside = np.concatenate([dataset.crops[i][INNER, INNER] for i in references], axis=2)
    gates = gate(dataset.audio_S)
    return {
        UNET_ENCODER_FILE: {
            TARGET: np.ascontiguousarray(dataset.crops[frames][:, INNER, INNER]),
            REFERENCES: np.repeat(beside[None], len(frames), 0),
        },
        AUDIO_ENCODER_FILE: {
            PCM: np.concatenate([window_pcm(dataset.audio_S, int(i), 1, window_samples(kind)) for i in frames]),
            GATE: gates[np.minimum(frames, len(gates) - 1)],
        },
    }
