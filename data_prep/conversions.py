"""What has to be converted before a recording can be used, and how the report says so.

Fields of interlaced cameras, HDR and channels that cancel each other are put right while the recording is read; a
person should know, for the camera can be set so that nothing has to be.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av

from data_prep.quality_inputs import Finding
from recipe.colour import decode_rgb, hdr_white
from recipe.deinterlace import FieldOrder, hidden_fields
from recipe.downmix import louder_channel
from recipe.media import decode_fields, open_media, picture_stream
from recipe.tone import HDR_NAMES

_LOOKED_AT, _EVERY = 50, 10  # pictures of the beginning


@dataclass(frozen=True)
class Conversions:
    """How the recording is to be read."""

    field_order: FieldOrder | None  # of interlaced pictures that are not flagged so
    white_nits: float | None  # light of what becomes white; None where it is not HDR
    findings: tuple[Finding, ...]  # for the report


def conversions_of(path: Path) -> Conversions:
    """Look at the beginning of a recording.

    Raises:
        ColourError: its colours are coded in a way that is not read.
        NotAVideoError, NoAudioError: nothing to see or to hear in this file.
    """
    some = list(islice(_coded(path), 0, _LOOKED_AT, _EVERY))  # few: a picture of a phone takes 25 MB
    for frame in some[:1]:
        decode_rgb(frame)
    flagged = any(frame.interlaced_frame for frame in some)
    order = None if flagged else hidden_fields(_coded(path))
    white = hdr_white(some)
    hdr = next((HDR_NAMES[int(frame.color_trc)] for frame in some if int(frame.color_trc) in HDR_NAMES), None)
    channel = louder_channel(path)
    findings = []
    if flagged or order:
        found = "interlaced" if flagged else "interlaced, though the file does not say so"
        advice = (
            "Each picture was made whole from its fields, a little softer. Set the camera to a progressive mode (25p)."
        )
        findings.append(Finding("Whole pictures", "warn", found, advice))
    if hdr:
        advice = "Made standard (SDR); colours may differ a little. For exact ones switch HDR off and record again."
        findings.append(Finding("Standard colours", "warn", f"HDR ({hdr})", advice))
    if channel is not None:
        advice = "One is inverted, by a cable or a setting. The louder one was used alone."
        findings.append(Finding("Sound channels", "warn", "the channels cancel each other", advice))
    return Conversions(order, white, tuple(findings))


def _coded(path: Path) -> Iterator[av.VideoFrame]:
    with open_media(path) as container:
        yield from decode_fields(container, picture_stream(container, path))
