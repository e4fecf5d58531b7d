"""From a recording to a dataset: the story of preparation, top to bottom.

Axes: T video frames (25/s), S audio samples (16 kHz).
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from errno import ENOSPC
from pathlib import Path

from data_prep import stages
from data_prep.checks import check_audible, check_space, needed_bytes
from data_prep.dataset_328 import MANIFEST, PRODUCTS, read_manifest
from data_prep.errors import DiskFullError, FaceError
from data_prep.measurements import measure
from data_prep.publishing import AudioChoice, Prepared, publish
from data_prep.recorded_sound import recorded_sound
from data_prep.recording import Recording, probe
from data_prep.request import Request, bring_in
from data_prep.splits import make_splits
from recipe.files import sha256
from recipe.locks import only_writer
from recipe.material import check_material
from recipe.recipe_328 import CHIN_Y, CROP_PX, SAMPLES_PER_FRAME, SUBNASALE_XY
from recipe.voice_gate import gate

log = logging.getLogger(__name__)


def prepare(request: Request, audio: AudioChoice) -> bool:
    """Make dataset/NAME of a recording, or find that it is made already.

    What an interrupted run has finished is used again; a recording that is no good, a full disk or any other error
    leaves nothing behind that could be taken for a dataset.

    Returns:
        False if the dataset was up to date and nothing was done.
    Raises:
        PreparationError: with a message for the person who started it.
    """
    recording = probe(request.recording)
    created = [] if request.folder.exists() else [request.folder]
    with only_writer(request.folder):
        try:
            created = bring_in(request) + created
            return _prepare(request, recording, audio)
        except Exception as error:
            _remove(request.folder, created)
            if isinstance(error, OSError) and error.errno == ENOSPC:
                raise DiskFullError(
                    f"the disk that holds {request.folder} is full; nothing was kept. Free about "
                    f"{needed_bytes(recording) >> 20} MB, or choose another disk with --dataset_dir, and start again"
                ) from error
            raise


def _prepare(request: Request, recording: Recording, audio: AudioChoice) -> bool:
    folder = request.folder
    source_sha256 = sha256(request.inside_path())
    made_from = stages.stamp(source_sha256, audio.recipe)
    manifest = read_manifest(folder)
    if manifest is not None and manifest.get("made_from") == made_from:
        return False
    (folder / MANIFEST).unlink(missing_ok=True)  # from here on the old dataset does not count as complete
    check_space(folder, recording)
    sound_S = recorded_sound(recording.path, recording.start_s, recording.frames * SAMPLES_PER_FRAME)
    check_audible(sound_S, recording)

    pictures = stages.pictures_stage(folder, recording, stages.stamp(source_sha256))
    tracked = stages.landmarks_stage(folder, recording.frames, stages.stamp(source_sha256))
    measured = measure(recording, pictures, tracked, sound_S)
    try:
        speech_T = gate(measured.sound_S) > 0
        splits = make_splits(recording.frames, measured.clips, measured.valid_T, speech_T)
        check_material(request.name, measured.valid_T, measured.clips, splits)
    except ValueError as error:
        raise FaceError(f"{recording.path.name}: {error}") from error
    geometry = hashlib.sha256(measured.affine_T23.tobytes()).hexdigest()
    crops_stamp = stages.stamp(source_sha256, CROP_PX, SUBNASALE_XY, CHIN_Y, geometry)
    crops = stages.crops_stage(folder, measured.affine_T23, measured.valid_T, crops_stamp)
    publish(Prepared(request, recording, audio, source_sha256, made_from, pictures, tracked, measured, splits, crops))
    return True


def _remove(folder: Path, created: list[Path]) -> None:
    """Leave nothing that could be taken for a dataset; of the recordings only a copy or link of this very run goes."""
    for product in PRODUCTS:
        (folder / product).unlink(missing_ok=True)
    shutil.rmtree(folder / stages.FOLDER, ignore_errors=True)
    for path in created:
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        else:
            path.unlink(missing_ok=True)
