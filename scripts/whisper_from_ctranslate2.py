"""Make a Whisper encoder of a CTranslate2 model: python scripts/whisper_from_ctranslate2.py MODEL OUT

MODEL holds CTranslate2's model.bin (as faster-whisper uses it, in float16 or float32). OUT becomes a folder as
transformers saves it, with the encoder alone, which `--audio_features whisper --audio_model OUT` and
`python -m benchmarks.front_ends --whisper OUT` read.
"""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Final

import configargparse
import numpy as np
import torch
from numpy.typing import NDArray
from transformers import WhisperConfig, WhisperModel

from recipe.errors import UserError
from recipe.files import built_aside

_KINDS: Final = {0: np.float32, 4: np.float16}  # of CTranslate2's numbers
_INT8: Final = 1
Weights = dict[str, NDArray[np.generic]]


def read_model(path: Path) -> Weights:
    """The variables of a model.bin: a header, then name, shape, kind and bytes of each, little-endian.

    Raises:
        UserError: it is not Whisper's, is quantised or ends early.
    """
    content, at = path.read_bytes(), 0

    def number(kind: str) -> int:
        nonlocal at
        (found,) = struct.unpack_from("<" + kind, content, at)
        at += struct.calcsize(kind)
        return int(found)

    def text() -> str:
        nonlocal at
        length = number("H")
        at += length
        return content[at - length : at].rstrip(b"\0").decode()

    try:
        _version, spec, _revision, count = number("I"), text(), number("I"), number("I")
        if spec != "WhisperSpec":
            raise UserError(f"{path} holds {spec or 'something'}, not Whisper; give the folder of a Whisper model")
        found: Weights = {}
        for _ in range(count):
            name, rank = text(), number("B")
            shape = [number("I") for _ in range(rank)]
            kind, size = number("B"), number("I")
            if name.startswith("encoder/") and kind == _INT8:
                raise UserError(f"{path} is quantised to int8; give a model in float16 or float32")
            if kind in _KINDS:
                number_of = np.dtype(_KINDS[kind])
                found[name] = np.frombuffer(content, number_of, size // number_of.itemsize, at).reshape(shape)
            at += size
    except (struct.error, UnicodeDecodeError, ValueError) as error:
        raise UserError(f"{path} is no whole CTranslate2 model: {error}; fetch it again") from error
    return found


def encoder_of(weights: Weights) -> WhisperModel:
    """Whisper with that encoder, and a decoder of nothing."""
    width, bins, _ = weights["encoder/conv1/weight"].shape
    layers = sum(name.endswith("self_attention/layer_norm/gamma") and name.startswith("encoder/") for name in weights)
    config = WhisperConfig(
        d_model=width,
        num_mel_bins=bins,
        encoder_layers=layers,
        encoder_attention_heads=width // 64,
        encoder_ffn_dim=len(weights["encoder/layer_0/ffn/linear_0/bias"]),
        max_source_positions=len(weights["encoder/position_encodings/encodings"]),
        decoder_layers=0,
        vocab_size=1,
        max_target_positions=1,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
        decoder_start_token_id=0,
    )
    model = WhisperModel(config)
    named = {
        "conv1.weight": "conv1/weight", "conv1.bias": "conv1/bias",
        "conv2.weight": "conv2/weight", "conv2.bias": "conv2/bias",
        "embed_positions.weight": "position_encodings/encodings",
        "layer_norm.weight": "layer_norm/gamma", "layer_norm.bias": "layer_norm/beta",
    }  # fmt: skip
    for layer in range(layers):
        there, here = f"layer_{layer}", f"layers.{layer}"
        for norm, of in (("self_attn_layer_norm", "self_attention"), ("final_layer_norm", "ffn")):
            named[f"{here}.{norm}.weight"] = f"{there}/{of}/layer_norm/gamma"
            named[f"{here}.{norm}.bias"] = f"{there}/{of}/layer_norm/beta"
        for linear, of in (
            ("fc1", "ffn/linear_0"),
            ("fc2", "ffn/linear_1"),
            ("self_attn.out_proj", "self_attention/linear_1"),
        ):
            named[f"{here}.{linear}.weight"] = f"{there}/{of}/weight"
            named[f"{here}.{linear}.bias"] = f"{there}/{of}/bias"
    state = {name: _tensor(weights["encoder/" + of]) for name, of in named.items()}
    for layer in range(layers):
        together = f"encoder/layer_{layer}/self_attention/linear_0"
        for third, of in enumerate("qkv"):
            rows = slice(third * width, (third + 1) * width)
            state[f"layers.{layer}.self_attn.{of}_proj.weight"] = _tensor(weights[f"{together}/weight"][rows])
            if of != "k":  # Whisper's keys have no bias
                state[f"layers.{layer}.self_attn.{of}_proj.bias"] = _tensor(weights[f"{together}/bias"][rows])
    model.encoder.load_state_dict(state)
    return model


def _tensor(found: NDArray[np.generic]) -> torch.Tensor:
    return torch.from_numpy(found.astype(np.float32))


def main(arguments: list[str] | None = None) -> int:
    """Convert; 0, or 2 with what is wrong."""
    parser = configargparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path, help="folder with model.bin")
    parser.add_argument("out", type=Path, help="folder that is written")
    options = parser.parse_args(arguments)
    path = options.model / "model.bin"
    try:
        encoder = encoder_of(read_model(path))
        with built_aside(options.out) as made:
            encoder.save_pretrained(made)
    except KeyError as missing:
        sys.stderr.write(f"error: {path} lacks {missing.args[0]}; fetch it again\n")
        return 2
    except (UserError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
