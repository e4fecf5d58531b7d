"""The command line, from a sound file to an MP4 that is decoded again, and every way it can be used wrongly."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from data_prep.audio import load_audio
from data_prep.colour import decode_rgb
from inference_328 import main
from services.avatar_manifest import seal_avatar
from services.container import Services
from services.errors import VideoWriteError
from services.types import VideoFrame
from services.video_writer import SoundTrack, original_sound, write_video
from tests.conftest import REPOSITORY
from tests.toy_avatar import NAME, SIZE, toy_avatars, toy_facts, toy_services  # noqa: F401

# ruff: noqa: F811

BEEP_S = 1.0


def write_beep(path: Path, rate_hz: int = 44_100, channels: int = 2, duration_s: float = 2.03) -> Path:
    """Silence with 100 ms of 1 kHz in it; in stereo the right channel is silent throughout."""
    t = np.arange(round(duration_s * rate_hz)) / rate_hz
    sounding = (t >= BEEP_S) & (t < BEEP_S + 0.1)
    left = np.where(sounding, 0.5 * np.sin(2 * np.pi * 1000 * t), 0)
    samples = np.stack([left, np.zeros_like(left)][:channels], axis=1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def decoded(path: Path) -> tuple[list[np.ndarray], np.ndarray, dict[str, object]]:
    """Pictures (H, W, 3), sound (C, S) and what the file says of itself."""
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        facts = {
            "video_s": video.duration * video.time_base,
            "audio_s": audio.duration * audio.time_base,
            "rate_hz": audio.rate,
            "codecs": (video.codec_context.name, audio.codec_context.name),
            "pixels": video.codec_context.pix_fmt,
            "colour": (video.codec_context.colorspace, video.codec_context.color_range),
        }
        pictures = [decode_rgb(frame) for frame in container.decode(video)]
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
        start = round(frames[0].pts * frames[0].time_base * frames[0].sample_rate)
        sound = np.concatenate([frame.to_ndarray() for frame in frames], axis=1)
    return pictures, sound[:, max(0, -start) :], facts


def box_order(path: Path) -> list[str]:
    """Names of the file's outermost boxes."""
    names = []
    with path.open("rb") as file:
        while header := file.read(8):
            size, name = struct.unpack(">I4s", header)
            names.append(name.decode())
            file.seek(size - 8, 1)
    return names


def infer(avatars_dir: Path, audio: Path, *more: str, out: Path | None = None) -> int:
    place = [] if out is None else ["--out", str(out)]
    plain = ["--name", NAME, "--audio_path", str(audio), "--avatars_dir", str(avatars_dir), "--threads", "1"]
    return main([*plain, "--runtime", "onnxruntime", *place, *more])


def test_a_recording_becomes_an_mp4(
    toy_avatars: Path, toy_services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    audio = write_beep(tmp_path / "Grüße, Welt 你好.wav")
    assert infer(toy_avatars, audio, "--start_frame", "9") == 0
    result = tmp_path / "result" / "toy_Grüße, Welt 你好.mp4"
    assert list((tmp_path / "result").iterdir()) == [result]
    assert box_order(result)[:2] == ["ftyp", "moov"]
    pictures, sound, facts = decoded(result)
    assert facts == {
        "video_s": Fraction(51, 25),
        "audio_s": Fraction(51, 25),
        "rate_hz": 44_100,
        "codecs": ("h264", "aac"),
        "pixels": "yuv420p",
        "colour": (1, 1),
    }
    # The pictures are those of the stream.
    streamed = list(toy_services.frames.generate(toy_services.models.open(NAME), [load_audio(audio)], 9))
    assert len(pictures) == len(streamed) == 51
    for picture, frame in zip(pictures, streamed, strict=True):
        assert np.square(picture.astype(float) - frame.frame_rgb_HWC).mean() < 255**2 / 10**3.3  # 33 dB
    # The beep is where it was, in the channel where it was.
    assert sound.shape[0] == 2
    assert 51 * 1764 <= sound.shape[1] < 51 * 1764 + 1024  # AAC ends with a whole block, the file says where to stop
    loud = np.flatnonzero(np.abs(sound[0]) > 0.1)
    assert loud[0] / 44_100 == pytest.approx(BEEP_S, abs=0.001)
    assert loud[-1] / 44_100 == pytest.approx(BEEP_S + 0.1, abs=0.001)
    assert np.abs(sound[1]).max() < 0.01
    out, err = capsys.readouterr()
    summary, quality = out.splitlines()
    assert summary.startswith(f"{Path('result') / result.name}: 2.04 s, 51 frames in ")
    assert "real-time factor" in summary
    assert summary.endswith("CPUExecutionProvider")
    assert quality == "held-out test of this avatar: mouth 31.5 dB, opening r 0.87"
    assert "51/51" in err.replace(" ", "")


@pytest.mark.parametrize(
    ("rate_hz", "channels", "written_hz"),
    [(8000, 1, 8000), (16_000, 1, 16_000), (48_000, 2, 48_000), (96_000, 1, 48_000)],
)
def test_the_sound_keeps_its_rate_and_its_place(
    toy_avatars: Path, tmp_path: Path, rate_hz: int, channels: int, written_hz: int
) -> None:
    audio = write_beep(tmp_path / "beep.wav", rate_hz, channels, duration_s=1.21)
    assert infer(toy_avatars, audio, out=tmp_path / "out.mp4") == 0
    pictures, sound, facts = decoded(tmp_path / "out.mp4")
    assert (len(pictures), len(sound), facts["rate_hz"]) == (31, channels, written_hz)
    assert facts["video_s"] == facts["audio_s"] == Fraction(31, 25)
    loud = np.flatnonzero(np.abs(sound[0]) > 0.1)
    assert loud[0] / written_hz == pytest.approx(BEEP_S, abs=0.002)


def test_video_with_sound_is_a_recording_too(toy_avatars: Path, presenter_video: Path, tmp_path: Path) -> None:
    clip = tmp_path / "clip.mkv"
    with av.open(str(presenter_video)) as source, av.open(str(clip), "w") as target:
        stream = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.pts is not None and packet.pts < 24_000:
                packet.stream = stream
                target.mux(packet)
    assert infer(toy_avatars, clip, out=tmp_path / "out.mp4") == 0
    pictures, _, facts = decoded(tmp_path / "out.mp4")
    assert len(pictures) == -(-len(load_audio(clip)) // 640)
    assert facts["audio_s"] == Fraction(len(pictures), 25)


def _text(path: Path) -> Path:
    path.write_text("this is no sound")
    return path


def _empty(path: Path) -> Path:
    path.touch()
    return path


def _no_samples(path: Path) -> Path:
    return write_beep(path, duration_s=0)


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (_text, [], "cannot be opened"),
        (_empty, [], "speech.wav"),
        (_no_samples, [], "speech.wav"),
        (lambda path: path, [], "is not a file"),
        (write_beep, ["--name", "nobody"], "no avatar 'nobody'"),
        (write_beep, ["--name", "../toy"], "not allowed as a name"),
        (write_beep, ["--start_frame", "60"], "choose 0 to 59"),
        (write_beep, ["--start_frame", "-1"], "choose 0 to 59"),
        (write_beep, ["--device", "cuda"], "device cuda"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    toy_avatars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], make, arguments: list[str], message: str
) -> None:
    audio = make(tmp_path / "speech.wav")
    before = sorted(tmp_path.iterdir())
    assert infer(toy_avatars, audio, *arguments, out=tmp_path / "out.mp4") == 2
    out, err = capsys.readouterr()
    assert out == ""
    last = err.splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last
    assert err.count("error: ") == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("arguments", [["--out", "x.avi"], ["--threads", "-1"], ["--unknown"], []])
def test_wrong_options_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--name", "toy", "--audio_path", "a.wav", *arguments] if arguments else []
    with pytest.raises(SystemExit) as raised:
        main(given)
    assert raised.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_a_broken_avatar_is_one_line(toy_avatars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    avatars_dir = shutil.copytree(toy_avatars, tmp_path / "avatars")
    (avatars_dir / NAME / "unet_encoder.onnx").write_bytes(b"damaged")
    assert infer(avatars_dir, write_beep(tmp_path / "a.wav"), out=tmp_path / "out.mp4") == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert not (tmp_path / "out.mp4").exists()


def test_an_avatar_without_consent_is_rendered_with_a_notice(
    toy_avatars: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    avatars_dir = shutil.copytree(toy_avatars, tmp_path / "avatars")
    seal_avatar(avatars_dir / NAME, {**toy_facts(NAME), "synthetic": False})
    audio = write_beep(tmp_path / "a.wav", duration_s=0.1)
    assert infer(avatars_dir, audio, out=tmp_path / "out.mp4") == 0
    assert "has no consent record" in capsys.readouterr().out.splitlines()[-1]


def test_the_recording_itself_is_never_overwritten(
    toy_avatars: Path, presenter_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = Path(shutil.copy(presenter_video, tmp_path / "clip.mp4"))
    assert infer(toy_avatars, video, out=video) == 2
    assert "would be overwritten" in capsys.readouterr().err
    assert video.read_bytes() == presenter_video.read_bytes()


def frames_until(error: BaseException | None, count: int) -> Iterator[VideoFrame]:
    for i in range(count):
        yield VideoFrame(i, np.full((SIZE, SIZE, 3), i, np.uint8), np.zeros(640, np.float32), 0, 0.0)
    if error is not None:
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a fault")])
def test_an_interrupted_result_is_removed_and_the_old_one_stays(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"the old one")
    with pytest.raises(type(error)):
        write_video(path, frames_until(error, 60), SIZE, SIZE, None)
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() == b"the old one"


def test_ctrl_c_ends_with_130(toy_avatars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> Iterator[np.ndarray]:
        yield np.zeros(16_000, np.float32)
        raise KeyboardInterrupt

    monkeypatch.setattr("inference_328.iter_audio", interrupted)
    assert infer(toy_avatars, write_beep(tmp_path / "a.wav"), out=tmp_path / "new" / "out.mp4") == 130
    assert list((tmp_path / "new").iterdir()) == []


def test_a_place_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VideoWriteError, match="cannot be written"):
        write_video(tmp_path / "file" / "out.mp4", frames_until(None, 2), SIZE, SIZE, None)


def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    """In a process that may write 200 kB: for the writer the same as a disk with so much room."""
    program = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from services.errors import VideoWriteError
from services.types import VideoFrame
from services.video_writer import write_video
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
noise = np.random.default_rng(0).integers(0, 255, (60, 256, 256, 3), dtype=np.uint8)
frames = (VideoFrame(i, noise[i], np.zeros(640, np.float32), 0, 0.0) for i in range(60))
try:
    write_video(Path(sys.argv[1]), frames, 256, 256, None)
except VideoWriteError as error:
    sys.exit(str(error))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "out.mp4")],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "out.mp4 cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_a_file_the_frames_own_sound_is_written(tmp_path: Path) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 400 * np.arange(25 * 640) / 16_000).astype(np.float32)
    frames = (
        VideoFrame(i, np.full((SIZE, SIZE, 3), 9 * i, np.uint8), tone[640 * i : 640 * (i + 1)], 0, 1.0)
        for i in range(25)
    )
    assert write_video(tmp_path / "out.mp4", frames, SIZE, SIZE, None) == 25
    pictures, sound, facts = decoded(tmp_path / "out.mp4")
    assert (facts["rate_hz"], facts["video_s"], facts["audio_s"]) == (16_000, 1, 1)
    assert [round(float(picture.mean()) / 9) for picture in pictures] == list(range(25))
    assert np.abs(sound[0, 2000:14_000] - tone[2000:14_000]).max() < 0.05  # in phase: not shifted by a single sample


def test_sound_is_read_piece_by_piece(tmp_path: Path) -> None:
    """However long the recording: the writer takes 40 ms at a time, the source gives blocks when asked."""
    taken = 0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal taken
        while True:
            taken += 1024
            yield np.zeros((1, 1024), np.float32)

    def frames() -> Iterator[VideoFrame]:
        for frame in frames_until(None, 40):
            assert taken < 1920 * frame.index + 1024
            yield frame

    write_video(tmp_path / "out.mp4", frames(), SIZE, SIZE, SoundTrack(48_000, 1, None, blocks()))
    assert taken >= 40 * 1920


def test_original_sound_starts_where_the_networks_sound_starts(presenter_video: Path) -> None:
    track = original_sound(presenter_video)
    sound = np.concatenate(list(track.blocks), axis=1)
    assert (track.rate_hz, track.channels) == (16_000, 1)
    np.testing.assert_allclose(sound[0], load_audio(presenter_video), atol=1e-6)


def test_serving_runs_without_torch(toy_avatars: Path, tmp_path: Path) -> None:
    audio = write_beep(tmp_path / "a.wav", duration_s=0.2)
    program = (
        "import sys, inference_328\n"
        f"code = inference_328.main({['--name', NAME, '--audio_path', str(audio), '--avatars_dir', str(toy_avatars)]!r}"
        f" + ['--out', {str(tmp_path / 'out.mp4')!r}])\n"
        "assert code == 0, code\n"
        "assert not {'torch', 'torchvision', 'transformers'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.mp4").is_file()
