"""Sound is read the same whole or in pieces, and cut by the container's clock."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data_prep.recorded_sound import recorded_sound
from recipe.audio_window import frame_count, window_pcm
from recipe.errors import NoAudioError, NotAVideoError
from recipe.recipe_328 import AUDIO_WINDOW_SAMPLES, SAMPLE_RATE_HZ, SAMPLES_PER_FRAME
from recipe.sound import from_pcm16, iter_audio, load_audio, read_wav, to_pcm16, write_wav
from tests.media import RATE_HZ, beep, write_recording


@pytest.mark.parametrize("chunk", [333, 640, 16_000, 10**7])
def test_pieces_equal_the_whole(chunk: int, presenter_video: Path) -> None:
    whole_S = load_audio(presenter_video)
    pieces = list(iter_audio(presenter_video, chunk))
    assert all(len(piece) == chunk for piece in pieces[:-1])
    np.testing.assert_array_equal(np.concatenate(pieces), whole_S)
    assert len(whole_S) == pytest.approx(20.32 * SAMPLE_RATE_HZ, abs=1100)


def test_resampling_keeps_time_pitch_and_level(tmp_path: Path) -> None:
    clock_S = np.arange(12 * RATE_HZ) / RATE_HZ
    tone_S = (0.5 * np.sin(2 * np.pi * 997 * clock_S)).astype(np.float32)
    path = write_recording(
        tmp_path / "tone.mkv", [(0.0, np.zeros((32, 32, 3), np.uint8))], tone_S, audio_codec="pcm_s16le"
    )
    heard_S = load_audio(path)
    expected_S = 0.5 * np.sin(2 * np.pi * 997 * np.arange(len(heard_S)) / SAMPLE_RATE_HZ)
    assert len(heard_S) == 12 * SAMPLE_RATE_HZ
    assert np.abs(heard_S - expected_S)[100:-100].max() < 2e-3


def test_recorded_sound_is_cut_by_the_clock(tmp_path: Path) -> None:
    picture = [(k / 25, np.zeros((32, 32, 3), np.uint8)) for k in range(100)]
    path = write_recording(
        tmp_path / "late.mkv", picture, beep([1.0], 3.0, 0.5), sound_start_s=0.5, audio_codec="pcm_s16le"
    )
    for start_s in (-0.25, 0.0, 0.5, 0.777):
        sound_S = recorded_sound(path, start_s, 2 * SAMPLE_RATE_HZ)
        assert len(sound_S) == 2 * SAMPLE_RATE_HZ
        assert np.flatnonzero(np.abs(sound_S) > 0.05)[0] / SAMPLE_RATE_HZ == pytest.approx(1.0 - start_s, abs=0.001)
    np.testing.assert_array_equal(recorded_sound(path, 3.6, 100), np.zeros(100, np.float32))


def test_a_gap_in_the_sound_stays_a_gap(tmp_path: Path) -> None:
    import av

    sound_S = beep([1.0, 4.0], 6.0)
    whole = write_recording(
        tmp_path / "whole.mkv", [(0.0, np.zeros((32, 32, 3), np.uint8))], sound_S, audio_codec="pcm_s16le"
    )
    gap = tmp_path / "gap.mkv"
    with av.open(str(whole)) as source, av.open(str(gap), "w") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None and not 2.0 <= float(packet.pts * packet.time_base) < 3.0:
                packet.stream = stream
                target.mux(packet)
    heard = np.abs(recorded_sound(gap, 0.0, 6 * SAMPLE_RATE_HZ)) > 0.05
    starts_s = np.flatnonzero(heard)[np.diff(np.flatnonzero(heard), prepend=-SAMPLE_RATE_HZ) > 1000] / SAMPLE_RATE_HZ
    assert starts_s == pytest.approx([1.0, 4.0], abs=0.002)


def test_window_is_centred_on_the_frame_and_zero_outside() -> None:
    pcm_S = np.arange(1, 10 * SAMPLES_PER_FRAME + 1, dtype=np.float32)
    windows = window_pcm(pcm_S, -8, 30)
    assert windows.shape == (30, AUDIO_WINDOW_SAMPLES)
    for row, frame in zip(windows, range(-8, 22), strict=True):
        first = 640 * frame + 320 - 4016
        expected = [pcm_S[s] if 0 <= s < len(pcm_S) else 0.0 for s in (first, first + 4015, first + 4016, first + 8031)]
        assert [row[0], row[4015], row[4016], row[8031]] == expected
    np.testing.assert_array_equal(windows[10:12], window_pcm(pcm_S, 2, 2))
    np.testing.assert_array_equal(window_pcm(np.zeros(0, np.float32), 0, 1), np.zeros((1, AUDIO_WINDOW_SAMPLES)))
    assert window_pcm(pcm_S, 0, 0).shape == (0, AUDIO_WINDOW_SAMPLES)


def test_frames_are_counted_upwards() -> None:
    assert [frame_count(samples) for samples in (0, 1, 640, 641)] == [0, 1, 1, 2]


def test_wav_comes_back_and_another_form_is_refused(tmp_path: Path) -> None:
    import wave

    pcm_S = np.array([-1.0, -0.5, 0.0, 0.25, 1.0], np.float32)
    write_wav(tmp_path / "a.wav", pcm_S)
    assert read_wav(tmp_path / "a.wav") == pytest.approx(pcm_S, abs=1 / 32768)
    with wave.open(str(tmp_path / "b.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(44_100)
        file.writeframes(b"\0" * 8)
    with pytest.raises(ValueError, match=r"found \(44100, 2, 2\)"):
        read_wav(tmp_path / "b.wav")


def test_files_without_sound_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(NotAVideoError, match=r"text\.wav"):
        load_audio(tmp_path / "text.wav")
    mute = write_recording(tmp_path / "mute.mp4", [(k / 25, np.zeros((32, 32, 3), np.uint8)) for k in range(9)], None)
    with pytest.raises(NoAudioError, match="no sound track"):
        load_audio(mute)


@pytest.mark.parametrize("name", ["whisper_jfk.flac", "ljspeech_30s.wav", "LatentSync_demo1_speech.wav"])
def test_real_speech_files_are_read(name: str, shared_media: Path) -> None:
    pcm_S = load_audio(shared_media / name)
    assert 9 < len(pcm_S) / SAMPLE_RATE_HZ < 29
    assert 0.05 < np.abs(pcm_S).max() <= 1.0


def test_sixteen_bits_and_back_are_the_same_everywhere() -> None:
    """1.0 became -32768 in one of five conversions: a click at full scale."""
    pcm_S = np.array([-2, -1, -0.5, 0, 0.5, 32767 / 32768, 1, 2], np.float32)
    levels = [-32768, -32768, -16384, 0, 16384, 32767, 32767, 32767]
    np.testing.assert_array_equal(to_pcm16(pcm_S), levels)
    np.testing.assert_array_equal(from_pcm16(to_pcm16(pcm_S).tobytes()), np.array(levels, np.float32) / 32768)
    every = np.arange(-32768, 32768).astype(np.int16)
    np.testing.assert_array_equal(to_pcm16(from_pcm16(every)), every)
