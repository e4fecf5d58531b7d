"""Judge the picture of a recording: each check looks at one thing and says what to redo."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from data_prep.quality_inputs import Finding, QualityInputs, graded
from recipe.recipe_328 import CROP_PX, FPS

# Limits that the report draws as well. Measured on four real clips and the presenter: detail 11 to 88, speed 3 to 18.
HEAD_SPEED_CALM: Final = 8.0  # crop px per frame
SHARP_FROM: Final = 15.0  # variance of the Laplacian; a beard or freckles raise it, a beauty filter lowers it
LUMA_RANGE: Final = (60.0, 200.0)


def length(inputs: QualityInputs) -> Finding:
    good_s = float(inputs.valid_T.sum()) / FPS
    level = graded(good_s, 280, 60)
    value = f"{_minutes(good_s)} with a good face, of {_minutes(inputs.duration_s)}"
    if level == "bad":
        return Finding("Length", level, value, "Expect a toy. Record five minutes of fluent, varied speech.")
    advice = "" if level == "ok" else "It will do, but five minutes show many more mouth shapes."
    return Finding("Length", level, value, advice)


def source(inputs: QualityInputs) -> Finding:
    value = f"{inputs.source_width} x {inputs.source_height} px, {inputs.source_fps:.4g} pictures/s"
    if inputs.source_fps < 24:
        advice = "Fewer than 25 pictures per second make motion jerky: set the camera to 25 (or 50) and add light."
        return Finding("Camera", "warn", value, advice)
    return Finding("Camera", "ok", value)


def face_size(inputs: QualityInputs) -> Finding:
    width_px = float(np.median(inputs.face_width_T[inputs.valid_T]))
    scale = float(np.median(np.sqrt(np.abs(np.linalg.det(inputs.affine_T23[inputs.valid_T][:, :, :2])))))
    value = f"{width_px:.0f} px wide"
    if scale > 1.05:
        value += f", enlarged {scale:.2f} times for the {CROP_PX}-px crop"
    advice = "Come nearer or zoom in (a face of 250 to 500 px is right), or film in a higher resolution."
    level = graded(width_px, 240, 150)
    return Finding("Face size", level, value, "" if level == "ok" else advice)


def face_lost(inputs: QualityInputs) -> Finding:
    lost = int((~inputs.valid_T).sum())
    share = lost / len(inputs.valid_T)
    if not lost:
        return Finding("Face in every frame", "ok", "no frame left out")
    reasons = "; ".join(_left_out(inputs, reason) for reason, count in sorted(inputs.excluded.items()) if count)
    value = f"{lost} of {len(inputs.valid_T)} frames left out ({share:.1%}){'; ' + reasons if reasons else ''}"
    level = graded(-share, -0.02, -0.15)
    advice = "Keep the whole face in the picture, uncovered by hands, hair or a microphone."
    return Finding("Face in every frame", level, value, "" if level == "ok" else advice)


def _left_out(inputs: QualityInputs, reason: str) -> str:
    where = inputs.excluded_at.get(reason)
    return f"{reason}: {inputs.excluded[reason]}{f' (at {where})' if where else ''}"


def second_face(inputs: QualityInputs) -> Finding:
    frames = inputs.second_face_frames
    if not frames:
        return Finding("Only one face", "ok", "no other face seen")
    advice = "The larger, continuous face was followed. Nobody else, no poster and no mirror should be in the picture."
    return Finding("Only one face", "warn", f"a second face in {frames} frames ({frames / FPS:.1f} s)", advice)


def head_motion(inputs: QualityInputs) -> Finding:
    speed = head_speed(inputs.affine_T23, inputs.valid_T, inputs.clips)
    fast = float(np.nanpercentile(speed, 95)) if np.isfinite(speed).any() else 0.0
    value = f"95 % of the time below {fast:.0f} px per frame (crop px)"
    level = graded(-fast, -HEAD_SPEED_CALM, -22)
    advice = "Keep the head calmer: fast motion blurs the mouth and makes the drawn mouth tremble."
    return Finding("Head motion", level, value, "" if level == "ok" else advice)


def head_pose(inputs: QualityInputs) -> Finding:
    pose_T3 = inputs.pose_T3[inputs.valid_T]
    yaw = float(np.percentile(np.abs(pose_T3[:, 1]), 90))
    pitch = float(np.percentile(np.abs(pose_T3[:, 0] - np.median(pose_T3[:, 0])), 90))
    turned = max(yaw, pitch)
    value = f"90 % of the time within {yaw:.0f}° to the side and {pitch:.0f}° up or down"
    level = graded(-turned, -15, -30)
    advice = "Look at the camera: the mouth of a turned head is seen too rarely to be learned."
    return Finding("Facing the camera", level, value, "" if level == "ok" else advice)


def sharpness(inputs: QualityInputs) -> Finding:
    blur = inputs.blur_T[inputs.valid_T]
    usual = float(np.median(blur))
    smeared = float((blur < 0.4 * usual).mean())
    value = f"detail {usual:.0f} (soft below {SHARP_FROM:.0f}), {smeared:.0%} of the frames smeared by motion"
    if usual < SHARP_FROM:
        advice = "Check the focus, clean the lens, come nearer, and record with a higher bit rate and no beauty filter."
        return Finding("Sharpness", graded(usual, SHARP_FROM, 5), value, advice)
    if smeared > 0.1:
        return Finding("Sharpness", "warn", value, "Add light or shorten the exposure time, and move less.")
    return Finding("Sharpness", "ok", value)


def exposure(inputs: QualityInputs) -> Finding:
    luma = inputs.exposure_T[inputs.valid_T]
    brightness, clipped = float(np.median(luma)), float(np.median(inputs.clipped_T[inputs.valid_T]))
    swing = float(np.percentile(luma, 97.5) - np.percentile(luma, 2.5))
    value = f"brightness {brightness:.0f} of 255, {clipped:.0%} burnt out or black, changes by {swing:.0f}"
    darkest, brightest = LUMA_RANGE
    if not darkest <= brightness <= brightest:
        what = "dark: add soft light from the front" if brightness < darkest else "bright: less light or exposure"
        level = graded(min(brightness - darkest, brightest - brightness), 0, -25)
        return Finding("Exposure", level, value, f"The face is too {what}.")
    if clipped > 0.08:
        return Finding("Exposure", graded(-clipped, -0.08, -0.3), value, "Use soft light, without hard shadows.")
    if swing > 30:
        return Finding("Exposure", "warn", value, "Lock exposure and white balance; no windows, no screens.")
    return Finding("Exposure", "ok", value)


def one_take(inputs: QualityInputs) -> Finding:
    cuts = len(inputs.clips) - 1
    if not cuts:
        return Finding("One take", "ok", "no jump cut")
    value = f"{cuts} jump cut{'s' if cuts > 1 else ''}, so {cuts + 1} clips"
    advice = "Nothing is trained across a cut, so each costs some material. Record in one take, without editing."
    return Finding("One take", "warn", value, advice)


def head_speed(
    affine_T23: NDArray[np.float32], valid_T: NDArray[np.bool_], clips: list[tuple[int, int]]
) -> NDArray[np.float64]:
    """Motion of the face's middle to the next frame, crop px, (T - 1,); NaN across cuts and without a good face."""
    affine = affine_T23.astype(np.float64)
    affine[~valid_T] = np.eye(2, 3)
    middle = np.full((len(affine), 2, 1), CROP_PX / 2)
    middle_frame = np.linalg.solve(affine[:, :, :2], middle - affine[:, :, 2:])  # where it lies in the frame
    seen_before = affine[:-1, :, :2] @ middle_frame[1:] + affine[:-1, :, 2:]
    speed: NDArray[np.float64] = np.linalg.norm((seen_before - middle[1:])[:, :, 0], axis=1)
    speed[~(valid_T[1:] & valid_T[:-1])] = np.nan
    speed[[stop - 1 for _, stop in clips[:-1]]] = np.nan
    return speed


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{int(seconds) // 60} min {int(seconds) % 60:02d} s"
