"""What `python -m benchmarks.peer` measures; why and how is said there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import configargparse
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.material import (
    cpu_runtime,
    model_service,
    noise_pieces,
    noise_S,
    sized_avatars,
    threads_of,
)
from benchmarks.peer_network import (
    AUDIO_SHAPE,
    PICTURE_PX,
    PUBLISHED_GMAC,
    PUBLISHED_M_PARAMETERS,
    PeerNetwork,
    network_gmac,
    parameters_m,
)
from benchmarks.stages import Laps, Stages
from benchmarks.table import Cell, Table, report_all
from recipe.crop import INNER
from recipe.recipe_328 import CROP_PX, FPS, SAMPLE_RATE_HZ, window_samples
from services.avatars.loaded import LoadedAvatar
from services.frame_generation_service import FrameGenerationService
from services.streaming.video_writer import write_video

_PEER_PARTS: Final = ("read", "crop", "network", "paste", "write")
_PEER_LOOP, _PEER_PASS, _PEER_ALL = "peer: loop", "peer: second pass, H.264", "peer: all in"
_OUR_NETWORK, _OUR_NETWORK_NEW = "ours: network, template seen", "ours: network, template new"
_OUR_ALL, _OUR_ALL_NEW = "ours: all in, template seen", "ours: all in, template new"
_MALLOC: Final = {
    "default": {},
    "raised": {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)},
}


@dataclass(frozen=True, slots=True)
class PeerMaterial:
    """What the peer's loop reads: a JPEG per frame and the square of its face."""

    folder: Path
    boxes: list[tuple[int, int, int, int]]  # left, top, right, bottom, px
    width: int
    height: int


def peer_material(model: LoadedAvatar, folder: Path, frames: int) -> PeerMaterial:
    """Write the template's first frames as the peer keeps them."""
    boxes = []
    manifest = model.avatar.manifest
    for index in range(frames):
        picture = cv2.cvtColor(model.template.frame(index), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(folder / f"{index}.jpg"), picture)
        back_23 = cv2.invertAffineTransform(model.avatar.affine_T23[index])
        corners_42 = np.array([(x, y, 1) for x in (0, CROP_PX) for y in (0, CROP_PX)]) @ back_23.T
        left, top = np.clip(corners_42.min(axis=0), 0, None).round().astype(int)
        right, bottom = corners_42.max(axis=0).round().astype(int)
        boxes.append((int(left), int(top), min(int(right), manifest.width), min(int(bottom), manifest.height)))
    return PeerMaterial(folder, boxes, manifest.width, manifest.height)


def peer_round(network: PeerNetwork, material: PeerMaterial, out: Path, stages: Stages) -> int:
    """The peer's loop and its second pass; returns the number of frames in the finished file."""
    frames = len(material.boxes)
    sound_BCHW = torch.rand(1, *AUDIO_SHAPE)
    first_pass = out.with_suffix(".avi")
    laps = Laps()

    def loop() -> None:
        writer = cv2.VideoWriter(
            str(first_pass), cv2.VideoWriter.fourcc(*"MJPG"), FPS, (material.width, material.height)
        )
        for index, box in enumerate(material.boxes):
            _peer_frame(network, material, index, box, sound_BCHW, writer, laps)
        writer.release()

    stages.timed(_PEER_LOOP, frames, loop)
    laps.into(stages, frames)
    return stages.timed(_PEER_PASS, frames, lambda: _second_pass(first_pass, out, frames))


def _peer_frame(
    network: PeerNetwork,
    material: PeerMaterial,
    index: int,
    box: tuple[int, int, int, int],
    sound_BCHW: torch.Tensor,
    writer: cv2.VideoWriter,
    laps: Laps,
) -> None:
    left, top, right, bottom = box
    with laps.of("read"):
        frame_HWC = cv2.imread(str(material.folder / f"{index}.jpg"))
        assert frame_HWC is not None
    with laps.of("crop"):
        face_HWC = frame_HWC[top:bottom, left:right]
        crop_HWC = cv2.resize(face_HWC, (CROP_PX, CROP_PX), interpolation=cv2.INTER_CUBIC)
        seen_HWC = crop_HWC[INNER, INNER]
        masked_HWC = seen_HWC.copy()
        masked_HWC[5:310, 5:315] = 0
        pair_HWC = np.concatenate([seen_HWC, masked_HWC], axis=2).astype(np.float32) / 255
        picture_BCHW = torch.from_numpy(np.ascontiguousarray(pair_HWC.transpose(2, 0, 1)))[None]
    with laps.of("network"), torch.inference_mode():
        drawn_CHW = network(picture_BCHW, sound_BCHW)[0]
    with laps.of("paste"):
        crop_HWC[INNER, INNER] = (drawn_CHW.numpy().transpose(1, 2, 0) * 255).astype(np.uint8)
        frame_HWC[top:bottom, left:right] = cv2.resize(
            crop_HWC, (right - left, bottom - top), interpolation=cv2.INTER_CUBIC
        )
    with laps.of("write"):
        writer.write(frame_HWC)


def _second_pass(source: Path, target: Path, frames: int) -> int:
    """Motion JPEG to H.264 of x264's default preset at CRF 20, with AAC sound."""
    count = 0
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        film = reader.streams.video[0]
        video = writer.add_stream("libx264", rate=FPS)
        video.width, video.height, video.pix_fmt = film.width, film.height, "yuv420p"
        video.options = {"crf": "20"}
        audio = writer.add_stream("aac", rate=SAMPLE_RATE_HZ, layout="mono")
        sound = av.AudioFrame.from_ndarray(noise_S(frames / FPS)[None], format="fltp", layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = SAMPLE_RATE_HZ, 0, Fraction(1, SAMPLE_RATE_HZ)
        for picture in reader.decode(film):
            plain = picture.reformat(format="yuv420p")
            plain.pts, plain.time_base = count, Fraction(1, FPS)
            writer.mux(video.encode(plain))
            count += 1
        writer.mux(video.encode(None))
        writer.mux(audio.encode(sound))
        writer.mux(audio.encode(None))
    return count


class Ours:
    """The services on the same frames: once with the template's features remembered, once without."""

    def __init__(self, avatars_dir: Path, options: configargparse.Namespace) -> None:
        runtime = cpu_runtime(options.runtime, threads_of(options))
        self.warm = model_service(avatars_dir, runtime).open_trained(options.name)
        self.cold = model_service(avatars_dir, runtime, features_bytes=1).open_trained(options.name)
        self.frames = min(options.frames, self.warm.avatar.manifest.frames)
        self._shown = list(range(self.frames))
        self.warm.encode_template(self._shown)

    def round(self, out: Path, stages: Stages) -> int:
        """The networks alone, then everything; returns the number of frames in the finished file."""
        window = window_samples(self.warm.avatar.manifest.recipe["audio_features"])
        pcm_BS = np.stack([noise_S(1.0)[:window]] * self.frames)
        gate_B = np.ones(self.frames, np.float32)
        stages.timed(_OUR_NETWORK, self.frames, lambda: self._network(self.warm, pcm_BS, gate_B))
        stages.timed(_OUR_NETWORK_NEW, self.frames, lambda: self._network(self.cold, pcm_BS, gate_B))
        stages.timed(_OUR_ALL_NEW, self.frames, lambda: self._file(self.cold, out))
        return stages.timed(_OUR_ALL, self.frames, lambda: self._file(self.warm, out))

    def _network(self, model: LoadedAvatar, pcm_BS: NDArray[np.float32], gate_B: NDArray[np.float32]) -> None:
        model.decode(model.encode_template(self._shown), model.encode_audio(pcm_BS, gate_B))

    def _file(self, model: LoadedAvatar, out: Path) -> int:
        manifest = model.avatar.manifest
        frames = FrameGenerationService().generate(model, noise_pieces(self.frames))
        return write_video(out, frames, manifest.width, manifest.height, None)


def measure(options: configargparse.Namespace) -> Table:
    """Everything, with malloc as it is in this process."""
    threads = threads_of(options)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    network = PeerNetwork().eval()
    stages = Stages()
    with sized_avatars(options, options.frames) as avatars_dir, tempfile.TemporaryDirectory() as folder:
        ours = Ours(avatars_dir, options)
        material = peer_material(ours.warm, Path(folder), ours.frames)
        for _ in range(options.rounds):
            counts = (
                peer_round(network, material, Path(folder) / "peer.mp4", stages),
                ours.round(Path(folder) / "ours.mp4", stages),
            )
            assert counts == (ours.frames, ours.frames), counts
        manifest, provider = ours.warm.avatar.manifest, ours.warm.provider
    malloc = ", ".join(f"{key}={value}" for key, value in sorted(os.environ.items()) if key.startswith("MALLOC_"))
    title = (
        f"{options.name}, {manifest.width}x{manifest.height} px, {ours.frames} frames, median of {options.rounds} "
        f"rounds, {threads} threads, ours on {provider}, malloc {malloc or 'as glibc has it'}"
    )
    return Table(title, ["what", "wall ms/frame", "CPU ms/frame", "fps", "times faster than"], _rows(stages))


def _rows(stages: Stages) -> list[tuple[Cell, ...]]:
    wall = {name: stages.wall_ms(name) for name in stages.names}
    cpu = {name: stages.cpu_ms(name) for name in stages.names}
    wall[_PEER_ALL] = wall[_PEER_LOOP] + wall[_PEER_PASS]
    cpu[_PEER_ALL] = cpu[_PEER_LOOP] + cpu[_PEER_PASS]

    def against(ours: str, peer: str) -> str:
        return f"{wall[peer] / wall[ours]:.1f} x {peer}"

    ratios = {
        _OUR_NETWORK: against(_OUR_NETWORK, "network"),
        _OUR_NETWORK_NEW: against(_OUR_NETWORK_NEW, "network"),
        _OUR_ALL: f"{against(_OUR_ALL, _PEER_LOOP)}, {against(_OUR_ALL, _PEER_ALL)}",
        _OUR_ALL_NEW: f"{against(_OUR_ALL_NEW, _PEER_LOOP)}, {against(_OUR_ALL_NEW, _PEER_ALL)}",
    }
    shown = {name: f"peer: {name}" if name in _PEER_PARTS else name for name in wall}
    order = (*_PEER_PARTS, _PEER_LOOP, _PEER_PASS, _PEER_ALL, *ratios)
    return [(shown[name], wall[name], cpu[name], 1e3 / wall[name], ratios.get(name, "")) for name in order]


def _network_table() -> Table:
    network = PeerNetwork().eval()
    rows = [
        ("parameters, M", parameters_m(network), PUBLISHED_M_PARAMETERS),
        ("GMAC", network_gmac(network), PUBLISHED_GMAC),
    ]
    notes = [
        f"random weights; input {PICTURE_PX}x{PICTURE_PX} px and sound {AUDIO_SHAPE}; fp32, eager, one frame at a time",
        "left out on its side: its audio encoder (once per file), reading landmarks from text; its box here is the "
        "square of our crop, without our rotation",
    ]
    return Table("the peer's network", ["what", "rebuilt", "published"], rows, notes)


def _in_child(arguments: list[str], malloc: str, folder: Path) -> Table:
    """The same measurement in a process whose glibc is told otherwise; it reads that only when it starts."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    out = folder / f"{malloc}.json"
    command = [sys.executable, "-m", "benchmarks.peer", *arguments, "--malloc", "as_is", "--json", str(out)]
    root = Path(__file__).resolve().parent.parent.parent
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), environment.get("PYTHONPATH")]))
    subprocess.run(command, env={**environment, **_MALLOC[malloc]}, check=True, stdout=subprocess.DEVNULL)
    document = json.loads(out.read_text(encoding="utf-8"))["tables"][0]
    rows = document["rows"]
    return Table(document["title"], list(rows[0]), [list(row.values()) for row in rows], document["notes"])


def run(options: configargparse.Namespace, arguments: list[str]) -> None:
    """Measure and print.

    Args:
        options: as read from the arguments.
        arguments: handed to a child process for each way in which memory is kept.
    """
    if options.malloc == "as_is":
        tables = [measure(options)]
    else:
        with tempfile.TemporaryDirectory() as folder:
            tables = [_in_child(arguments, malloc, Path(folder)) for malloc in _MALLOC]
    report_all([*tables, _network_table()], options.json)
