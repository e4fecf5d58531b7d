"""The command line, from a sound file to an MP4 that is decoded again, and every way it can be used wrongly."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from inference_328 import main
from recipe.avatar_format import seal_avatar
from recipe.sound import load_audio
from services.container import Services
from tests.conftest import REPOSITORY
from tests.media import decoded
from tests.service_material import wait_for
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
    monkeypatch.setattr("recipe.places.home", lambda: tmp_path)
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
    where, summary, quality = out.splitlines()
    assert where == str(result)
    assert summary.startswith("  2.04 s of video (51 frames), made in ")
    assert "real-time factor" in summary
    assert summary.endswith("CPUExecutionProvider")
    assert quality == "  held-out test of this avatar: mouth 31.5 dB, opening r 0.87"
    assert "51/51" in err.replace(" ", "")
    # Said again, it does not replace what somebody may still want.
    assert infer(toy_avatars, audio) == 0
    assert {path.name for path in (tmp_path / "result").iterdir()} == {result.name, f"{result.stem}-2.mp4"}
    before = result.stat().st_mtime_ns
    assert infer(toy_avatars, audio, "--overwrite") == 0
    assert len(list((tmp_path / "result").iterdir())) == 2 and result.stat().st_mtime_ns > before


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
    with av.open(str(tmp_path / "out.mp4")) as video:
        assert video.metadata["comment"] == "AI-generated; no consent recorded"


def test_the_recording_itself_is_never_overwritten(
    toy_avatars: Path, presenter_video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = Path(shutil.copy(presenter_video, tmp_path / "clip.mp4"))
    assert infer(toy_avatars, video, out=video) == 2
    assert "would be overwritten" in capsys.readouterr().err
    assert video.read_bytes() == presenter_video.read_bytes()


def test_ctrl_c_ends_with_130(toy_avatars: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> Iterator[np.ndarray]:
        yield np.zeros(16_000, np.float32)
        raise KeyboardInterrupt

    monkeypatch.setattr("recipe.sound.iter_audio", interrupted)
    assert infer(toy_avatars, write_beep(tmp_path / "a.wav"), out=tmp_path / "new" / "out.mp4") == 130
    assert list((tmp_path / "new").iterdir()) == []


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


def test_what_a_killed_process_left_goes_with_the_next_run(toy_avatars: Path, tmp_path: Path) -> None:
    """kill -9 in the middle of a video: there is no half one, and the same command makes it."""
    out = tmp_path / "videos" / "said.mp4"
    long, short = (write_beep(tmp_path / f"{seconds}.wav", duration_s=seconds) for seconds in (120.0, 2.0))
    command = [sys.executable, "inference_328.py", "--name", NAME, "--audio_path", long, "--avatars_dir", toy_avatars]
    with subprocess.Popen(
        [*command, "--runtime", "onnxruntime", "--threads", "1", "--out", out],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        wait_for(lambda: process.poll() is not None or any(out.parent.glob(".said.*.part.mp4")), 60)
        time.sleep(0.1)
        process.kill()
    assert process.returncode == -9
    (left,) = out.parent.iterdir()
    assert left.name.startswith(".said.")
    assert infer(toy_avatars, short, out=out) == 0
    assert list(out.parent.iterdir()) == [out]
    assert len(decoded(out)[0]) == 50
