"""Ears: from sound to what the mouth does, for any voice.

    log-mel window -> level taken out, kept beside it -> [Whisper's first layers, frozen, beside it] ->
                                                               temporal encoder -> mouth units
                                                                                -> do the lips meet?

Closure is an answer of its own and not the lower end of a mean: where noise hides which sound it is, the least mean
error is a mouth half open, and p, b and m would never be seen.

Axes: B batch, N analysis frames of a window, D mel bands, E embedding, U mouth units.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from models.audio_encoder import AudioEncoder, AudioEncoderConfig, LogMel
from models.whisper_trunk import WhisperTrunk, WhisperTrunkConfig

_LEVEL_TO = 0.6  # where the loudest moment of a window is moved, in the units of LogMel (1 is 40 dB)...
_MOST_MOVED = 0.9  # ...by 36 dB at most: silence stays silence
_SURE_FROM, _SURE_TO = 0.1, 0.3  # probability of closure over which the lips go from as told to closed


@dataclass(frozen=True)
class EarsConfig:
    """Shape of the network; stored in the checkpoint."""

    units: int
    encoder: AudioEncoderConfig = field(
        default_factory=lambda: AudioEncoderConfig(input_dim=81, stem_width=160, width=256, blocks=2, embedding_dim=256)
    )
    trunk: WhisperTrunkConfig | None = None

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> EarsConfig:
        trunk = stored.get("trunk")
        return cls(stored["units"], AudioEncoderConfig(**stored["encoder"]), trunk and WhisperTrunkConfig(**trunk))

    @classmethod
    def with_trunk(cls, units: int, trunk: WhisperTrunkConfig) -> EarsConfig:
        """The temporal encoder hears tokens and, beside each, the frames it is made of."""
        frames = trunk.frames // trunk.tokens
        return cls(
            units,
            AudioEncoderConfig(
                input_dim=trunk.width + frames * (trunk.bands + 1),
                input_frames=trunk.tokens,
                stem_kernel=1,
                stem_width=160,
                width=192,
                blocks=2,
                embedding_dim=256,
            ),
            trunk,
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Ears(nn.Module):
    """Log-mel windows -> mouth units, and how sure it is that the lips meet."""

    closed_U: Tensor
    kept_U: Tensor

    def __init__(self, config: EarsConfig, closed_U: Tensor, kept_U: Tensor) -> None:
        """Start untrained.

        Args:
            config: shape.
            closed_U: the mouth of a p, b or m.
            kept_U: how much of each unit goes on while the lips meet: the tongue moves, rounding stays.
        """
        super().__init__()
        self.config = config
        self.trunk = WhisperTrunk(config.trunk) if config.trunk else None
        self.encoder = AudioEncoder(config.encoder)
        width = config.encoder.embedding_dim
        self.units = nn.Sequential(nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, config.units))
        self.closure = nn.Sequential(nn.SiLU(), nn.Linear(width, width // 2), nn.SiLU(), nn.Linear(width // 2, 1))
        self.register_buffer("closed_U", closed_U)
        self.register_buffer("kept_U", kept_U)

    def forward(self, features_BND: Tensor) -> tuple[Tensor, Tensor]:
        """What is trained: units (B, U), and the logit of closure (B,)."""
        return self.answers(self.before_training(features_BND))

    def answers(self, given_BND: Tensor) -> tuple[Tensor, Tensor]:
        """`forward` of what `before_training` gave."""
        heard_BE = self.encoder(given_BND)
        return self.units(heard_BE), self.closure(heard_BE)[:, 0]

    def before_training(self, features_BND: Tensor) -> Tensor:
        """What the temporal encoder is given, in which no weight that is trained has a part."""
        levelled_BND = levelled(features_BND)
        if self.trunk is None:
            return levelled_BND
        tokens_BMC = self.trunk(levelled_BND[..., :-1])
        return torch.cat([tokens_BMC, levelled_BND.unflatten(1, (tokens_BMC.shape[1], -1)).flatten(2)], dim=2)

    def tell(self, features_BND: Tensor, gate_B: Tensor) -> Tensor:
        """What is drawn: units with the lips closed where they surely meet, and at rest where nobody speaks, (B, U)."""
        units_BU, closure_B = self(features_BND)
        sure_B1 = sureness(closure_B)[:, None]
        closed_BU = torch.maximum(self.closed_U, units_BU * self.kept_U)
        told_BU = units_BU + sure_B1 * (closed_BU - units_BU)
        return told_BU * gate_B[:, None]


def sureness(closure_B: Tensor) -> Tensor:
    """How far lips that may meet are to be closed, 0 to 1, from the logit of closure."""
    t = ((closure_B.sigmoid() - _SURE_FROM) / (_SURE_TO - _SURE_FROM)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def levelled(features_BND: Tensor) -> Tensor:
    """Windows at one level, with the level itself as one more band, (B, N, D + 1): loud and quiet voices look alike.

    The window's own loudest moment is the measure, so a streamed utterance and a whole one look the same.
    """
    level_BN1 = features_BND.mean(dim=2, keepdim=True)
    moved_B11 = (_LEVEL_TO - level_BN1.amax(dim=1, keepdim=True)).clamp(-_MOST_MOVED, _MOST_MOVED)
    return torch.cat([features_BND + moved_B11, level_BN1], dim=2)


class EarsGraph(nn.Module):
    """PCM windows and gate -> mouth units: the graph that is exported, with the names of any audio encoder's."""

    def __init__(self, features: LogMel, ears: Ears) -> None:
        super().__init__()
        self.features = features
        self.ears = ears

    def forward(self, pcm_BS: Tensor, gate_B: Tensor) -> Tensor:
        return self.ears.tell(self.features(pcm_BS), gate_B)
