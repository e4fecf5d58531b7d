"""Features of a pretrained speech model (HuBERT, wav2vec 2.0, Whisper) as another ear for the audio encoder.

What differs from each model's own processing, and why:
- The model hears one second that ENDS where the log-mel window ends (251 ms after the frame's centre), so that
  it needs no more lookahead than the log-mel. More of the past costs no latency.
- HuBERT and wav2vec 2.0: the second is normalised to mean 0 and variance 1 if the checkpoint's
  preprocessor_config.json asks for it (as it does for whole utterances).
- Whisper: the second is not padded to 30 s, which would cost 30 times the work. Its log-mel is that of its feature
  extractor; the floor 80 dB below the loudest value is the second's own. The encoder keeps its first 50 positions.
- The mean of the layers from the middle to three quarters of the depth is taken; later layers are not computed.
- Features are interpolated by TIME: token n lies at the frame's centre plus (n - (N - 1) / 2) times its share of the
  502 ms, whatever the model's own frame rate and offset are.

Weights are read from a local directory, from safetensors only: a pickle can run code.

Axes: `B` batch, `S` audio samples, `M` the model's own time steps, `N` tokens, `D` feature.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from models.audio_encoder import LogMel, MelConfig

MODEL_CLASSES = {"hubert": "HubertModel", "wav2vec2": "Wav2Vec2Model", "whisper": "WhisperModel"}
_WHISPER_FFT, _WHISPER_HOP, _WHISPER_STRIDE = 400, 160, 320


class AudioModelError(ValueError):
    """The pretrained speech model is missing, incomplete or of another kind."""


@dataclass(frozen=True)
class PretrainedFeatureConfig:
    """Where the tokens lie; the caller takes the samples from the recipe."""

    kind: str  # hubert, wav2vec2 or whisper
    sample_rate_hz: int
    reach_samples: int  # from the frame's centre to each end of the tokens, half the log-mel's window
    tokens: int = 24
    window_samples: int = 16_000

    @property
    def centre_sample(self) -> int:
        """Where in the window the frame's centre lies."""
        return self.window_samples - self.reach_samples


class PretrainedFeatures(nn.Module):
    """PCM -> features of a frozen speech model around the frame's centre, (B, S) -> (B, N, D).

    Args:
        model: HubertModel, Wav2Vec2Model or WhisperModel of transformers.
        config: kind and times.
        normalise: scale every window to mean 0 and variance 1 first.
    """

    mixing: Tensor

    def __init__(self, model: Any, config: PretrainedFeatureConfig, normalise: bool) -> None:
        super().__init__()
        self.config = config
        self.window_samples = config.window_samples
        self._normalise = normalise and config.kind != "whisper"
        self._mel: LogMel | None = None
        self.feature_dim = int(model.config.hidden_size)
        encoder = model.encoder
        if config.kind == "whisper":
            first, stride, steps = 0.0, _WHISPER_STRIDE, config.window_samples // _WHISPER_STRIDE
            _shorten_whisper(encoder, steps)
            self._mel = LogMel(_whisper_mel(model.config.num_mel_bins, config))
        else:
            first, stride, steps = _conv_clock(model.config, config.window_samples)
        self.model: nn.Module = encoder if config.kind == "whisper" else model
        self.layers = middle_layers(len(encoder.layers))
        encoder.layers = encoder.layers[: self.layers.stop - 1]
        self._heard: dict[int, Tensor] = {}
        for number, layer in enumerate(encoder.layers, start=1):
            if number in self.layers:
                layer.register_forward_hook(self._listener(number))
        mixing = torch.from_numpy(time_weights(config, first, stride, steps))
        self.register_buffer("mixing", mixing, persistent=False)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> PretrainedFeatures:
        """Stays in evaluation mode: the model is frozen."""
        return super().train(False)

    def forward(self, pcm_BS: Tensor) -> Tensor:
        if pcm_BS.shape[-1] != self.window_samples:
            raise ValueError(
                f"the audio window has {pcm_BS.shape[-1]} samples, {self.config.kind} features need "
                f"{self.window_samples}, the frame's centre at {self.config.centre_sample}"
            )
        self._heard.clear()
        self.model(self._input(pcm_BS))
        mean_BMD = torch.stack([self._heard[number] for number in self.layers]).mean(dim=0)
        self._heard.clear()
        return self.mixing @ mean_BMD

    def _input(self, pcm_BS: Tensor) -> Tensor:
        if self._mel is None:
            if not self._normalise:
                return pcm_BS
            centred = pcm_BS - pcm_BS.mean(dim=1, keepdim=True)
            return centred / (centred.square().mean(dim=1, keepdim=True) + 1e-7).sqrt()
        margin = _WHISPER_FFT // 2
        padded = F.pad(pcm_BS[:, None], (margin, margin), mode="reflect")[:, 0]
        power_BMD = self._mel.mel_power(padded[:, self._mel.index])
        level = torch.log10(power_BMD.clamp_min(1e-10))
        level = torch.maximum(level, level.amax(dim=(1, 2), keepdim=True) - 8)
        return ((level + 4) / 4).transpose(1, 2)

    def _listener(self, number: int) -> Any:
        def keep(_layer: nn.Module, _inputs: Any, output: Any) -> None:
            self._heard[number] = output[0] if isinstance(output, tuple) else output

        return keep


def load_pretrained(
    source: str, config: PretrainedFeatureConfig, allow_download: bool = False
) -> tuple[PretrainedFeatures, str]:
    """Load a speech model.

    Args:
        source: a directory with config.json and *.safetensors; or, if downloads are allowed, a hub id.
        config: kind and times.
        allow_download: let transformers fetch a hub id from the network.
    Returns:
        The frozen front end, and the model's identity to be stamped into the recipe.
    Raises:
        AudioModelError: names what is missing and what to do.
    """
    if config.kind not in MODEL_CLASSES:
        raise AudioModelError(f"no pretrained model of kind {config.kind!r}; choose one of {', '.join(MODEL_CLASSES)}")
    folder = Path(source)
    if folder.is_dir():
        _check_folder(folder, config.kind)
    elif not allow_download:
        raise AudioModelError(
            f"there is no directory {str(folder.absolute())!r} with a {config.kind} model; put config.json and "
            "model.safetensors of one there (save_pretrained writes them), or allow the download explicitly"
        )
    import transformers

    model_class = getattr(transformers, MODEL_CLASSES[config.kind])
    options = {"local_files_only": not allow_download, "use_safetensors": True, "dtype": torch.float32}
    try:
        model = model_class.from_pretrained(source, attn_implementation="eager", **options)
    except OSError as error:
        raise AudioModelError(f"the {config.kind} model {source!r} could not be loaded: {error}") from error
    if model.config.model_type != config.kind:
        raise AudioModelError(_wrong_kind(source, model.config.model_type, config.kind))
    identity = f"{folder.name}@{_weights_hash(model)}"
    return PretrainedFeatures(model, config, _asks_for_normalising(folder)), identity


def middle_layers(depth: int) -> range:
    """The layers whose mean is taken, counted from 1: for a depth of 12 the 6th to the 9th."""
    first = max(1, depth // 2)
    return range(first, max(first, 3 * depth // 4) + 1)


def time_weights(config: PretrainedFeatureConfig, first: float, stride: float, steps: int) -> NDArray[np.float32]:
    """Linear interpolation from the model's steps, centred at samples first + stride m, to the tokens, (N, M).

    A token before the first or after the last step takes that step.
    """
    spacing = 2 * config.reach_samples / config.tokens
    token = config.centre_sample + (np.arange(config.tokens) - (config.tokens - 1) / 2) * spacing
    step = np.clip((token - first) / stride, 0, steps - 1)
    weights: NDArray[np.float64] = np.maximum(0, 1 - np.abs(step[:, None] - np.arange(steps)[None]))
    return weights.astype(np.float32)


def _conv_clock(hf_config: Any, samples: int) -> tuple[float, int, int]:
    """Centre of the first step, samples between steps and number of steps of a stack of convolutions."""
    first, stride, steps = 0.0, 1, samples
    for kernel, hop in zip(hf_config.conv_kernel, hf_config.conv_stride, strict=True):
        first += stride * (kernel - 1) / 2
        stride *= hop
        steps = (steps - kernel) // hop + 1
    return first, stride, steps


def _shorten_whisper(encoder: Any, steps: int) -> None:
    """Keep the positions of the window alone."""
    if steps > encoder.config.max_source_positions:
        raise AudioModelError(
            f"this whisper model hears {encoder.config.max_source_positions} steps of 20 ms, the window has {steps}; "
            "use a checkpoint with more"
        )
    positions = encoder.embed_positions.weight[:steps].detach().clone()
    encoder.embed_positions = nn.Embedding(steps, positions.shape[1], _weight=positions)
    encoder.config.max_source_positions = encoder.max_source_positions = steps


def _whisper_mel(bins: int, config: PretrainedFeatureConfig) -> MelConfig:
    frames = config.window_samples // _WHISPER_HOP  # its extractor drops the last, half empty one
    return MelConfig(config.sample_rate_hz, _WHISPER_FFT, _WHISPER_HOP, bins, 0.0, config.sample_rate_hz / 2, frames)


def _check_folder(folder: Path, kind: str) -> None:
    if not (folder / "config.json").is_file():
        raise AudioModelError(f"{folder} has no config.json; copy the whole {kind} model directory there")
    if not any(folder.glob("*.safetensors")):
        raise AudioModelError(
            f"{folder} has no *.safetensors; pickled weights are not loaded because they can run code: convert them "
            "once with save_pretrained on a machine that trusts them"
        )
    found = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    if found != kind:
        raise AudioModelError(_wrong_kind(str(folder), found, kind))


def _wrong_kind(source: str, found: Any, expected: str) -> str:
    return f"{source} holds a model of type {found!r}, expected {expected!r}; choose that kind or another directory"


def _asks_for_normalising(folder: Path) -> bool:
    file = folder / "preprocessor_config.json"
    return not file.is_file() or bool(json.loads(file.read_text(encoding="utf-8")).get("do_normalize", True))


def _weights_hash(model: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
