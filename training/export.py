"""Trained weights -> the ONNX graphs of an avatar, each checked against torch.

The graphs take and give what serving has at hand (uint8 pictures, PCM), so that scaling, hiding and the bounds of
alpha exist once, here.

Axes: B batch, S samples, D embedding, H W C picture.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from models.audio_encoder import AudioFrontEnd
from models.syncnet_328 import SyncNet
from models.unet_328 import Features, UNet328, UNetDecoder
from recipe.avatar_format import (
    AUDIO_ENCODER_FILE,
    EMBEDDING,
    FEATURES,
    GATE,
    PATCH,
    PCM,
    REFERENCES,
    TARGET,
    UNET_DECODER_FILE,
    UNET_ENCODER_FILE,
)
from recipe.files import written_aside
from recipe.recipe_328 import AUDIO_WINDOW_SAMPLES, INNER_PX, REFERENCE_COUNT

OPSET = 18
assert Features._fields == FEATURES, "the graphs' outputs are named after the features"


class EncoderGraph(nn.Module):
    """uint8 inner squares of the template and the references -> float16 features of the lower rows.

    Half precision halves what serving keeps of every template frame, and costs nothing that can be seen.
    """

    def __init__(self, unet: UNet328) -> None:
        super().__init__()
        self.encoder = unet.encoder

    def forward(self, target_BHWC: Tensor, references_BHWC: Tensor) -> tuple[Tensor, ...]:
        def to_float(picture: Tensor) -> Tensor:
            return picture.permute(0, 3, 1, 2).float() / 255

        features = self.encoder(to_float(target_BHWC), to_float(references_BHWC))
        return tuple(feature.half() for feature in features)


class DecoderGraph(nn.Module):
    """float16 features and embedding -> uint8 RGBA rows.

    Computes what `UNet328` draws, but bounds and rounds the four sub-pixels of every channel side by side, before they
    are shuffled into place: bytes move instead of floats, which saves a millisecond of ten.
    """

    def __init__(self, unet: UNet328) -> None:
        super().__init__()
        self.unet = unet
        self.decoder: UNetDecoder = unet.decoder

    def forward(self, f160: Tensor, f80: Tensor, f40: Tensor, f20: Tensor, f10: Tensor, embedding_BD: Tensor) -> Tensor:
        features = Features(*(feature.float() for feature in (f160, f80, f40, f20, f10)))
        out = self.decoder.head_320.conv(self.decoder.trunk(features, embedding_BD))  # (B, 4 * 4, H / 2, W / 2)
        low, high = self.unet.alpha_min_HW, self.unet.alpha_max_HW
        low, span = self._sub_pixels(low, 0), self._sub_pixels(high - low, 1)
        levels = ((low + span * torch.sigmoid(out)) * 255).round().to(torch.uint8)
        return F.pixel_shuffle(levels, 2).permute(0, 2, 3, 1)

    @staticmethod
    def _sub_pixels(alpha_11HW: Tensor, colour: float) -> Tensor:
        """A constant colour and a picture of alpha in the head's channels, (1, 16, H / 2, W / 2)."""
        alpha = F.pixel_unshuffle(alpha_11HW, 2)[:, None]
        rgb = torch.full_like(alpha, colour).expand(-1, 3, -1, -1, -1)
        return torch.cat([rgb, alpha], dim=1).flatten(1, 2)


class SoundGraph(nn.Module):
    """PCM windows and gate -> embedding."""

    def __init__(self, front_end: AudioFrontEnd) -> None:
        super().__init__()
        self.front_end = front_end

    def forward(self, pcm_BS: Tensor, gate_B: Tensor) -> Tensor:
        embedding: Tensor = self.front_end(pcm_BS, gate_B)
        return embedding


def export_generator(unet: UNet328, front_end: AudioFrontEnd, folder: Path) -> dict[str, nn.Module]:
    """Write the three graphs of an avatar.

    Returns:
        The torch modules that they were made from, by file name, for the comparison.
    """
    unet, front_end = unet.cpu().eval(), front_end.cpu().eval()
    encoder, decoder, sound = EncoderGraph(unet).eval(), DecoderGraph(unet).eval(), SoundGraph(front_end).eval()
    pictures = torch.zeros(2, INNER_PX, INNER_PX, 3, dtype=torch.uint8)
    references = torch.zeros(2, INNER_PX, INNER_PX, 3 * REFERENCE_COUNT, dtype=torch.uint8)
    with torch.no_grad():
        features = encoder(pictures, references)
    embedding = torch.zeros(2, unet.config.embedding_dim)
    pcm, gate = torch.zeros(2, front_end_samples(front_end)), torch.ones(2)
    export_graph(encoder, (pictures, references), folder / UNET_ENCODER_FILE, [TARGET, REFERENCES], list(FEATURES))
    export_graph(decoder, (*features, embedding), folder / UNET_DECODER_FILE, [*FEATURES, EMBEDDING], [PATCH])
    export_graph(sound, (pcm, gate), folder / AUDIO_ENCODER_FILE, [PCM, GATE], [EMBEDDING])
    return {UNET_ENCODER_FILE: encoder, UNET_DECODER_FILE: decoder, AUDIO_ENCODER_FILE: sound}


class ScorerPicture(nn.Module):
    """uint8 inner squares of five consecutive frames -> unit vector."""

    def __init__(self, syncnet: SyncNet) -> None:
        super().__init__()
        self.syncnet = syncnet

    def forward(self, crops_BTHWC: Tensor) -> Tensor:
        pictures = crops_BTHWC.permute(0, 1, 4, 2, 3).float() / 255
        return self.syncnet.embed_picture(self.syncnet.mouths(pictures))


class ScorerSound(nn.Module):
    """PCM windows of five consecutive frames -> unit vector; the gate is open, a scorer listens to everything."""

    def __init__(self, front_end: AudioFrontEnd, syncnet: SyncNet) -> None:
        super().__init__()
        self.front_end = front_end
        self.syncnet = syncnet

    def forward(self, pcm_BTS: Tensor) -> Tensor:
        windows = pcm_BTS.flatten(0, 1)
        embeddings = self.front_end(windows, torch.ones_like(windows[:, 0]))
        return self.syncnet.embed_sound(embeddings.unflatten(0, (-1, self.syncnet.config.frames)))


def export_scorer(syncnet: SyncNet, front_end: AudioFrontEnd, folder: Path) -> None:
    """Write the scoring SyncNet as scorer_visual.onnx and scorer_audio.onnx, for `python -m evaluation`."""
    syncnet, front_end = syncnet.cpu().eval(), front_end.cpu().eval()
    frames = syncnet.config.frames
    crops = torch.zeros(2, frames, INNER_PX, INNER_PX, 3, dtype=torch.uint8)
    pcm = torch.zeros(2, frames, front_end_samples(front_end))
    export_graph(ScorerPicture(syncnet), (crops,), folder / "scorer_visual.onnx", ["crops_BTHWC"], ["embedding_BD"])
    export_graph(ScorerSound(front_end, syncnet), (pcm,), folder / "scorer_audio.onnx", ["pcm_BTS"], ["embedding_BD"])


def front_end_samples(front_end: AudioFrontEnd) -> int:
    """Length of the PCM window that a front end listens to."""
    return int(getattr(front_end.features, "window_samples", AUDIO_WINDOW_SAMPLES))


def export_graph(
    module: nn.Module, example: tuple[Tensor, ...], path: Path, inputs: list[str], outputs: list[str]
) -> None:
    """Export with a free batch axis on every input and output, and let ONNX's checker read it."""
    batch = torch.export.Dim("B", min=1, max=4096)
    shapes = tuple({0: batch} for _ in example)
    for talkative in ("onnxscript", "onnx_ir"):  # they report every folded constant
        logging.getLogger(talkative).setLevel(logging.WARNING)
    # The exporter imports it; without triton, which set-up leaves out, it warns that it cannot count operations.
    logging.getLogger("torch.utils.flop_counter").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own internals
        program = torch.onnx.export(
            module,
            example,
            input_names=inputs,
            output_names=outputs,
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    assert program is not None
    with written_aside(path) as part:
        program.save(str(part), external_data=False)
        model = onnx.load(str(part))
        without_traces(model)
        onnx.save(model, str(part))
        onnx.checker.check_model(str(part))


def without_traces(model: onnx.ModelProto) -> None:
    """Take out of a graph where in whose files its nodes were written: nobody needs it, and it tells of a machine."""
    for nodes in (model.graph.node, *(function.node for function in model.functions)):
        for node in nodes:
            kept = [entry for entry in node.metadata_props if not entry.key.endswith("stack_trace")]
            del node.metadata_props[:]
            node.metadata_props.extend(kept)


def max_abs_error(
    module: nn.Module, run_onnx: Callable[[dict[str, np.ndarray]], list[np.ndarray]], inputs: dict[str, np.ndarray]
) -> float:
    """Largest absolute difference between torch and the exported graph over all outputs.

    Args:
        module: the graph's torch module.
        run_onnx: runs the exported file.
        inputs: by input name, in the module's order.
    """
    with torch.no_grad():
        wanted = module(*(torch.from_numpy(value) for value in inputs.values()))
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    found = run_onnx(inputs)
    return max(float(np.abs(a.numpy().astype(np.float64) - b).max()) for a, b in zip(wanted, found, strict=True))


def psnr_db(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of two pictures; at most 100."""
    error = float(np.square(a.astype(np.float64) - b).mean())
    return 10 * float(np.log10(255**2 / max(error, 255**2 * 1e-10)))
