"""The shipped ears, fitted to one person: from sound to what this person's mouth does.

    log-mel window -> Ears (speaks for every voice) -> linear -> articulation of this person's lips
                                                    -> do the lips meet? then they do

What is right for every voice is learnt already; a film adds the person's manner: range, habits, asymmetry.

Axes: B batch, N analysis frames of a window, D mel bands, P articulation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.audio_encoder import LogMel
from models.ears import Ears, EarsConfig, sureness


class FittedEars(nn.Module):
    """Log-mel windows -> articulation of one person."""

    rest_P: Tensor
    mean_P: Tensor
    opens_P: Tensor
    facts_3: Tensor

    def __init__(self, config: EarsConfig, articulation: int) -> None:
        super().__init__()
        nothing = torch.zeros(config.units)
        self.ears = Ears(config, nothing, nothing)
        self.head = nn.Linear(config.encoder.embedding_dim + config.units + 1, articulation)
        for name in ("rest_P", "mean_P", "opens_P"):
            self.register_buffer(name, torch.zeros(articulation))
        self.register_buffer("facts_3", torch.tensor([0.0, 0.0, 1.0]))

    def describe_person(self, rest_P: Tensor, mean_P: Tensor, opens_P: Tensor, gap_px: float, closed_px: float) -> None:
        """Set what is known of the lips without sound.

        Args:
            rest_P: articulation in silence.
            mean_P: of all frames.
            opens_P: by how much each component parts the lips, px.
            gap_px: how far they are apart at articulation 0.
            closed_px: how far they are apart where they count as closed.
        """
        self.rest_P.copy_(rest_P)
        self.mean_P.copy_(mean_P)
        self.opens_P.copy_(opens_P)
        self.facts_3[:2] = torch.tensor([gap_px, closed_px])

    def heard(self, given_BND: Tensor) -> tuple[Tensor, Tensor]:
        """What the head sees, (B, embedding + units + 1), and the logit of closure, (B,), of `Ears.before_training`."""
        heard_BE = self.ears.encoder(given_BND)
        units_BU, closure_B1 = self.ears.units(heard_BE), self.ears.closure(heard_BE)
        return torch.cat([heard_BE, units_BU, closure_B1.sigmoid()], dim=1), closure_B1[:, 0]

    def forward(self, features_BND: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is trained: articulation (B, P), units (B, U), logit of closure (B,)."""
        return self.answers(self.ears.before_training(features_BND))

    def answers(self, given_BND: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """`forward` of what `Ears.before_training` gave."""
        heard, closure_B = self.heard(given_BND)
        width = self.ears.config.encoder.embedding_dim
        return self.head(heard), heard[:, width:-1], closure_B

    def tell(self, features_BND: Tensor, gate_B: Tensor) -> Tensor:
        """What is drawn: lips closed where they surely meet, and at rest where nobody speaks, (B, P)."""
        told_BP, _, closure_B = self(features_BND)
        told_BP = self.mean_P + self.facts_3[2] * (told_BP - self.mean_P)
        too_open_B = (self.facts_3[0] + told_BP @ self.opens_P - self.facts_3[1]).clamp_min(0)
        way_P = self.opens_P / self.opens_P.square().sum().clamp_min(1e-6)  # changes the opening, and little else
        told_BP = told_BP - (sureness(closure_B) * too_open_B)[:, None] * way_P
        gate_B1 = gate_B[:, None]
        return gate_B1 * told_BP + (1 - gate_B1) * self.rest_P

    def louder(self, factor: float) -> None:
        """Let the mouth move so many times as far as it was fitted to: what is uncertain is told too small."""
        self.facts_3[2] = factor


class FittedEarsGraph(nn.Module):
    """PCM windows and gate -> articulation: the graph that is exported, with the names of any audio encoder's."""

    def __init__(self, features: LogMel, fitted: FittedEars) -> None:
        super().__init__()
        self.features = features
        self.fitted = fitted

    def forward(self, pcm_BS: Tensor, gate_B: Tensor) -> Tensor:
        return self.fitted.tell(self.features(pcm_BS), gate_B)
