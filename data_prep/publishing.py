"""The last step of preparation: sound, track, report and, when all is there, the manifest.

Axes: T video frames (25/s), S audio samples (16 kHz), H W C image.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from data_prep import dataset_328 as files
from data_prep.landmarks import Tracked
from data_prep.measurements import Measurements
from data_prep.quality import QualityInputs, QualityReport, judge
from data_prep.recording import Recording
from data_prep.report import write_report
from data_prep.request import Request
from data_prep.stages import CropMeasures
from data_prep.video import NormalisedPictures, iter_rgb
from recipe.files import written_aside
from recipe.recipe_328 import FPS, recipe
from recipe.sound import write_wav

_REPORT_FRAMES: Final = 6


@dataclass(frozen=True)
class AudioChoice:
    """What the audio encoder will listen to."""

    features: str = "mel"
    model_folder: str = ""  # of the pretrained feature model
    model_identity: str = ""  # its name and a hash of its weights

    @property
    def recipe(self) -> dict[str, Any]:
        """The stamp of everything that is made for this choice."""
        return recipe(self.features, self.model_identity)


@dataclass(frozen=True)
class Prepared:
    """Everything that preparation found out."""

    request: Request
    recording: Recording
    audio: AudioChoice
    source_sha256: str
    made_from: str
    pictures: NormalisedPictures
    tracked: Tracked
    measured: Measurements
    splits: dict[str, list[tuple[int, int]]]
    crops: CropMeasures


def publish(prepared: Prepared) -> None:
    """Write what is left to write; the manifest comes last and makes the dataset complete."""
    folder, measured = prepared.request.folder, prepared.measured
    quality = judge(_quality_inputs(prepared))
    manifest = _manifest(prepared, quality)
    with written_aside(folder / files.AUDIO) as part:
        write_wav(part, measured.sound_S)
    track = measured.track() | {"blur_T": prepared.crops.blur_T}
    with written_aside(folder / files.TRACK) as part:
        np.savez(part, **track)  # type: ignore[arg-type]
    write_report(
        folder / files.REPORT,
        name=prepared.request.name,
        manifest=manifest,
        quality=quality,
        track=track | {"exposure_T": prepared.crops.exposure_T},
        audio_S=measured.sound_S,
        crops_THWC=np.load(folder / files.CROPS, mmap_mode="r"),
        frames_rgb=_report_frames(folder / files.FRAMES, prepared.recording.frames),
        av_offset=measured.av_offset,
    )
    text = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    with written_aside(folder / files.MANIFEST) as part:
        part.write_text(text, encoding="utf-8")


def _manifest(prepared: Prepared, quality: QualityReport) -> dict[str, Any]:
    measured, audio, offset = prepared.measured, prepared.audio, prepared.measured.av_offset
    return {
        "schema": files.SCHEMA,
        "version": files.VERSION,
        "name": prepared.request.name,
        "recipe": audio.recipe,
        "made_from": prepared.made_from,
        "source": _source(prepared),
        "fps": FPS,
        "frames": prepared.recording.frames,
        "width": prepared.pictures.width,
        "height": prepared.pictures.height,
        "clips": measured.clips,
        "splits": prepared.splits,
        "av_offset": {
            "frames": offset.frames,
            "confidence": offset.confidence,
            "removed": offset.clear,
            "evidence": offset.evidence,
        },
        "valid_frames": int(measured.valid_T.sum()),
        "excluded": measured.excluded,
        "excluded_at": measured.excluded_at,
        "second_face_frames": prepared.tracked.second_face_frames,
        "quality": quality.to_json(),
        "audio_features": audio.features,
        "audio_model": audio.model_folder,
    }


def _source(prepared: Prepared) -> dict[str, Any]:
    recording = asdict(prepared.recording)
    del recording["path"], recording["frames"], recording["converted"]  # its findings stand in the report
    recording["repeated_frames"] = prepared.pictures.repeated_frames
    return {"file": prepared.request.inside_path().name, "sha256": prepared.source_sha256, **recording}


def _quality_inputs(prepared: Prepared) -> QualityInputs:
    recording, measured, crops = prepared.recording, prepared.measured, prepared.crops
    return QualityInputs(
        duration_s=recording.duration_s,
        source_fps=recording.fps,
        source_width=recording.width,
        source_height=recording.height,
        face_width_T=measured.box_T4[:, 2] - measured.box_T4[:, 0],
        pose_T3=measured.pose_T3,
        affine_T23=measured.affine_T23,
        blur_T=crops.blur_T,
        exposure_T=crops.exposure_T,
        clipped_T=crops.clipped_T,
        valid_T=measured.valid_T,
        excluded=measured.excluded,
        excluded_at=measured.excluded_at,
        second_face_frames=prepared.tracked.second_face_frames,
        audio_S=measured.sound_S,
        opening_T=measured.opening_T,
        clips=measured.clips,
        av_offset=measured.av_offset,
        converted=recording.converted,
    )


def _report_frames(path: Path, count: int) -> list[NDArray[np.uint8]]:
    step = max(1, count // _REPORT_FRAMES)
    return list(islice(iter_rgb(path), step // 2, None, step))[:_REPORT_FRAMES]
