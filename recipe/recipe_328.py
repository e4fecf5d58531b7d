"""The frozen facts of the trained format.

Every dataset, checkpoint and avatar is stamped with `recipe()` and compared with it when it is opened
(`check_recipe`): a network trained on one geometry or audio window is silently wrong on another.

Crop coordinates are pixels of the 328-px crop, inner coordinates pixels of its 320-px inner square
(crop = inner + 4). x grows to the right, y downwards, and pixel centres lie at whole numbers.
"""

from __future__ import annotations

from typing import Any, Final

RECIPE_VERSION: Final = 1

# --- time -----------------------------------------------------------------------------------------
FPS: Final = 25
SAMPLE_RATE_HZ: Final = 16_000
SAMPLES_PER_FRAME: Final = SAMPLE_RATE_HZ // FPS  # frame i owns samples [640 i, 640 (i + 1))

# --- picture --------------------------------------------------------------------------------------
CROP_PX: Final = 328
INNER_PX: Final = 320
INNER_OFFSET_PX: Final = (CROP_PX - INNER_PX) // 2
# The network draws inner rows [PATCH_TOP_PX, 320) only: everything above the nose's base stays as filmed.
PATCH_TOP_PX: Final = 128
PATCH_HEIGHT_PX: Final = INNER_PX - PATCH_TOP_PX
# Where the person's median subnasale (under the nose) and resting chin come to lie in the crop.
SUBNASALE_XY: Final = (164.0, 122.0)
CHIN_Y: Final = 262.0
# The hidden region, in inner coordinates: see mask_328.
MASK_SIDE_PX: Final = 12  # columns that stay visible at the left and the right, so that cheeks can be matched
MASK_TOP_PX: Final = PATCH_TOP_PX + 2
MASK_CORNER_PX: Final = 56  # radius of the upper corners
MASK_RING_PX: Final = 18  # width of the ring in which filmed and drawn pixels may mix

# --- sound ----------------------------------------------------------------------------------------
MEL_BINS: Final = 80
MEL_FFT: Final = 512  # Hann window of the same length, 32 ms
MEL_HOP: Final = 160  # 10 ms
MEL_FRAMES: Final = 48
MEL_FMIN_HZ: Final = 55.0
MEL_FMAX_HZ: Final = 7600.0
# One frame sees this many samples around the centre of its own 640 (+-251 ms; 231 ms of lookahead).
AUDIO_WINDOW_SAMPLES: Final = MEL_FFT + (MEL_FRAMES - 1) * MEL_HOP
AUDIO_LOOKAHEAD_SAMPLES: Final = AUDIO_WINDOW_SAMPLES // 2 - SAMPLES_PER_FRAME // 2
WINDOW_REACH_FRAMES: Final = -(-AUDIO_LOOKAHEAD_SAMPLES // SAMPLES_PER_FRAME)  # frames heard beyond the own one

# --- references -----------------------------------------------------------------------------------
REFERENCE_COUNT: Final = 3  # one closed mouth, two open ones

AUDIO_FEATURES: Final = ("mel", "hubert", "wav2vec2", "whisper")
# Pretrained speech models hear a second per frame, with the same lookahead as the log-mel window.
PRETRAINED_WINDOW_SAMPLES: Final = 16_000


def window_samples(audio_features: str) -> int:
    """Length of the window of sound that one frame hears; it always ends AUDIO_LOOKAHEAD_SAMPLES after the frame."""
    return AUDIO_WINDOW_SAMPLES if audio_features == "mel" else PRETRAINED_WINDOW_SAMPLES


class RecipeMismatchError(ValueError):
    """An artefact was made by another recipe than this code's."""


def recipe(audio_features: str = "mel", audio_model: str = "") -> dict[str, Any]:
    """The facts as a JSON-able dictionary, to be stamped into an artefact.

    Args:
        audio_features: what the audio encoder listens to, one of AUDIO_FEATURES.
        audio_model: identity of the pretrained feature model ("" for mel).
    Raises:
        ValueError: unknown kind of audio features.
    """
    if audio_features not in AUDIO_FEATURES:
        raise ValueError(f"audio features {audio_features!r} are unknown; choose one of {', '.join(AUDIO_FEATURES)}")
    return {
        "version": RECIPE_VERSION,
        "fps": FPS,
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "crop_px": CROP_PX,
        "inner_px": INNER_PX,
        "patch_top_px": PATCH_TOP_PX,
        "subnasale_xy": list(SUBNASALE_XY),
        "chin_y": CHIN_Y,
        "mask": [MASK_SIDE_PX, MASK_TOP_PX, MASK_CORNER_PX, MASK_RING_PX],
        "mel": [MEL_BINS, MEL_FFT, MEL_HOP, MEL_FRAMES, MEL_FMIN_HZ, MEL_FMAX_HZ],
        "audio_window_samples": window_samples(audio_features),
        "reference_count": REFERENCE_COUNT,
        "audio_features": audio_features,
        "audio_model": audio_model,
    }


def check_recipe(found: dict[str, Any], where: str) -> None:
    """Compare an artefact's stamp with this code.

    Args:
        found: the stamp read from the artefact.
        where: the artefact's name, for the message.
    Raises:
        RecipeMismatchError: names every fact that differs, with both values.
    """
    expected = recipe(str(found.get("audio_features", "mel")), str(found.get("audio_model", "")))
    differing = [
        f"{key}: {found.get(key)!r}, this code {value!r}" for key, value in expected.items() if found.get(key) != value
    ]
    if differing:
        raise RecipeMismatchError(
            f"{where} was made by another recipe ({'; '.join(differing)}); prepare and train it again with this version"
        )
