"""Recordings as people bring them: what is read right, and what is said about it. Their makers: tests/odd.py."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from data_prep.conversions import conversions_of
from data_prep.recording import probe
from recipe.colour import decode_rgb, hdr_white
from recipe.deinterlace import hidden_fields
from recipe.downmix import louder_channel
from recipe.errors import ColourError, NoAudioError
from recipe.media import decode_fields, decode_pictures, open_media, picture_stream
from recipe.sound import iter_audio, load_audio, original_sound
from recipe.tone import standard_rgb
from services.streaming.upload import UploadFeed
from tests.odd import PRESENTER, moved, odd, presenter, presenter_sound


# --- channels that cancel -------------------------------------------------------------------------
def test_channels_that_cancel_each_other_are_not_mixed() -> None:
    path = odd("cancelling_channels.wav")
    voice_S = presenter_sound(0, 12)[::3]
    heard_S = load_audio(path)
    assert np.corrcoef(heard_S, voice_S)[0, 1] > 0.95
    assert heard_S.std() == pytest.approx(voice_S.std(), rel=0.05)
    np.testing.assert_array_equal(np.concatenate(list(iter_audio(path, 777))), heard_S)
    track = original_sound(path)
    assert track.channels == 1
    assert np.concatenate(list(track.blocks), 1).std() == pytest.approx(voice_S.std(), rel=0.05)
    feed = UploadFeed(path, 60)
    feed.start()
    assert np.concatenate([feed.native_samples(frame) for frame in range(250)]).std() > 0.5 * voice_S.std()


def test_a_mix_that_is_right_stays(presenter_video: Path, tmp_path: Path) -> None:
    assert louder_channel(presenter_video) is None
    import soundfile

    random = np.random.default_rng(0)
    for name, stereo in {
        "one": np.stack([presenter_sound(0, 3), np.zeros(3 * 48_000)], 1),
        "strangers": random.normal(0, 0.1, (48_000, 2)),
        "silence": np.zeros((48_000, 2)),
        "six, one in use": np.eye(6)[2] * presenter_sound(0, 1)[:, None],
    }.items():
        soundfile.write(tmp_path / f"{name}.wav", stereo, 48_000)
        assert louder_channel(tmp_path / f"{name}.wav") is None, name


def test_the_report_names_channels_that_cancel(tmp_path: Path) -> None:
    path = tmp_path / "film.mkv"
    with av.open(str(path), "w") as out, av.open(str(PRESENTER)) as film:
        video = out.add_stream_from_template(film.streams.video[0])
        sound = out.add_stream("pcm_s16le", rate=48_000, layout="stereo")
        for packet in film.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                out.mux(packet)
        voice_S = (presenter_sound(0, 12) * 32_000).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.stack([voice_S, -voice_S], 1).reshape(1, -1), "s16", "stereo")
        frame.sample_rate, frame.pts = 48_000, 0
        out.mux(sound.encode(frame))
        out.mux(sound.encode(None))
    (finding,) = conversions_of(path).findings
    assert (finding.what, finding.level) == ("Sound channels", "warn")
    assert "cancel each other" in finding.value


# --- colour ---------------------------------------------------------------------------------------
def frames_of(path: Path) -> list[av.VideoFrame]:
    with open_media(path) as container:
        return list(decode_fields(container, picture_stream(container, path)))


@pytest.mark.parametrize(("name", "said"), [("hlg.mov", "HDR (HLG)"), ("pq.mov", "HDR (PQ)"), ("wide_gamut.mov", None)])
def test_hdr_and_wide_gamuts_have_the_colours_of_the_standard_recording(name: str, said: str | None) -> None:
    (true, *_) = presenter(4, 4.04)
    frame = frames_of(odd(name))[0]
    seen = decode_rgb(frame)
    assert np.abs(seen.astype(int) - true).mean() < 4.5
    assert abs(float(seen.mean()) - float(true.mean())) < 2.5
    saturation = [float(cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)[..., 1].mean()) for rgb in (seen, true)]
    assert saturation[0] == pytest.approx(saturation[1], rel=0.2)
    assert (hdr_white([frame]) or 100.0) == 100.0
    if said is not None:
        white = conversions_of_picture(name)
        assert said in white


def conversions_of_picture(name: str) -> str:
    """What is said of a film's colours; a sound is put beside the picture."""
    path = odd(name).with_name(f"sounding_{name}")
    with av.open(str(path), "w") as out, av.open(str(odd(name))) as film:
        video = out.add_stream_from_template(film.streams.video[0])
        sound = out.add_stream("pcm_s16le", rate=48_000, layout="mono")
        for packet in film.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                out.mux(packet)
        frame = av.AudioFrame.from_ndarray(np.full((1, 4800), 999, np.int16), "s16", "mono")
        frame.sample_rate, frame.pts = 48_000, 0
        out.mux(sound.encode(frame))
        out.mux(sound.encode(None))
    return " ".join(f"{finding.value} {finding.advice}" for finding in conversions_of(path).findings)


def test_brighter_light_than_white_keeps_its_order_and_white_is_found() -> None:
    for transfer in (18, 16):
        greys = np.repeat(np.linspace(0, 1, 101)[:, None], 3, 1)
        shown = standard_rgb(greys, transfer, 9, 203.0)[:, 0]
        assert (np.diff(shown) >= 0).all() and shown[0] == 0 and 0.97 < shown[-1] <= 1
    # BT.2408: 75 % HLG and 58 % PQ are the white of standard pictures, 203 cd/m2.
    for transfer, white in ((18, 0.75), (16, 0.58)):
        from recipe.tone import white_of

        flat = np.full((10, 10, 3), round(white * 65535), np.uint16)
        assert white_of(flat, transfer) == pytest.approx(203, rel=0.02)
        assert white_of(flat // 8, transfer) == 100.0


def test_colours_that_are_not_read_are_refused() -> None:
    with pytest.raises(ColourError, match=r"transfer 9\)\. Export it as standard video .* switch HDR and log"):
        decode_rgb(frames_of(odd("logarithmic.mov"))[0])
    strange = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24").reformat(format="yuv420p")
    strange.colorspace = 14  # ICtCp, of Dolby Vision
    with pytest.raises(ColourError, match=r"matrix 14\)"):
        decode_rgb(strange)


# --- fields ---------------------------------------------------------------------------------------
def combing(rgb_HWC: NDArray[np.uint8]) -> float:
    """How much lines differ from both their neighbours."""
    grey = cv2.cvtColor(rgb_HWC, cv2.COLOR_RGB2GRAY).astype(float)
    return float(np.abs(grey[1:-1] - (grey[:-2] + grey[2:]) / 2).mean())


@pytest.mark.parametrize(("name", "hidden"), [("interlaced.mp4", None), ("interlaced_unflagged.mp4", "tff")])
def test_interlaced_pictures_are_made_whole(name: str, hidden: str | None) -> None:
    path = odd(name)
    assert hidden_fields(iter(frames_of(path))) == hidden
    with open_media(path) as container:
        whole = list(decode_pictures(container, picture_stream(container, path), hidden))  # type: ignore[arg-type]
    coded = frames_of(path)
    assert [frame.time for frame in whole] == [frame.time for frame in coded]
    for index, (rgb, frame, before) in enumerate(zip(presenter(4, 5), whole, coded, strict=True)):
        true = moved(rgb, 2 * index)
        assert combing(decode_rgb(before)) > 3 * combing(true)
        assert combing(decode_rgb(frame)) < 1.3 * combing(true)
        assert np.abs(decode_rgb(frame).astype(int) - true).mean() < 4


def test_whole_pictures_stay_as_they_are(presenter_video: Path) -> None:
    frames = frames_of(presenter_video)[:80]
    assert hidden_fields(iter(frames)) is None
    with open_media(presenter_video) as container:
        pictures = decode_pictures(container, picture_stream(container, presenter_video))
        for picture, frame in zip(pictures, frames, strict=False):
            np.testing.assert_array_equal(picture.to_ndarray(), frame.to_ndarray())


@pytest.mark.parametrize(
    ("name", "said"), [("interlaced.mp4", "interlaced"), ("interlaced_unflagged.mp4", "does not say so")]
)
def test_the_report_names_interlaced_pictures(name: str, said: str) -> None:
    assert said in conversions_of_picture(name)
    assert "progressive" in conversions_of_picture(name)


# --- no sound -------------------------------------------------------------------------------------
def test_a_recording_without_sound_gets_the_advice_of_who_asked() -> None:
    path = odd("soundless.mp4")
    for hear in (load_audio, original_sound):
        with pytest.raises(NoAudioError, match="no sound track: give a recording with speech"):
            hear(path)
    with pytest.raises(NoAudioError, match="no sound track: record picture and sound together"):
        probe(path)
