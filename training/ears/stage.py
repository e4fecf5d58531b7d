"""The ears' training: sound of many voices -> mouth units and closure, judged by voices that were never heard.

Axes: B pairs of frames, T frames of the material, U mouth units.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.audio_encoder import LogMel
from models.ears import Ears, EarsConfig, levelled
from recipe.articulation.mouth_units import GAP_MM_U, MOUTH_UNITS, opening_mm, shape_units
from recipe.recipe_328 import AUDIO_WINDOW_SAMPLES, recipe
from training.audio_augmentation import AudioAugmentation, AudioAugmenter
from training.distributed import Workers
from training.ears.material import Material
from training.identity import run_identity
from training.loop import Check, Judgement, Plan, descend, train
from training.sound import generator_on, mel_config
from training.synthetic_silence import silence_windows

_WEIGHT_DECAY: Final = 0.02
# Voices are changed less than one recording needs: a hundred are heard as they are. Rooms reach further.
HEARD_AS: Final = AudioAugmentation(
    pitch=0.5, pitch_semitones=5.0, vocal_tract=0.5, vocal_tract_range=(0.85, 1.2), tone=0.5, noise=0.6,
    noise_snr_db=(0.0, 30.0), reverb=0.6, reverb_rt60_s=(0.15, 0.8), reverb_tail_db=(-10.0, 5.0), masks=0.3,
)  # fmt: skip
# How the voices that were kept apart are heard when they are judged.
HEARD: Final = {
    "": AudioAugmentation.off(),
    "noise": replace(AudioAugmentation.off(), noise=1.0, noise_snr_db=(10.0, 10.0)),
    "room": replace(AudioAugmentation.off(), reverb=1.0, reverb_rt60_s=(0.6, 0.6), reverb_tail_db=(2.4, 2.4)),
}
SUMMED: Final = ("ccc", "closed_percent", "false_percent", "real_r", "real_closed_percent", "real_false_percent")
LEARNT_SEED, _JUDGED_SEED = 328, 329  # of rooms and noises
_CLOSED_EXTRA: Final = 3.0  # a pair with a p, b or m is drawn so much more often
_SILENCE_SHARE: Final = 0.12  # of the pairs hear synthetic silence, and the mouth rests
_UNIT_SPREAD: Final = 0.12  # units are told apart in such steps
_OPENING_MM: Final = 4.0  # the opening is told apart in such steps
_CLOSURE_WEIGHT: Final = 0.8
_MOTION_WEIGHT: Final = 0.5
_MEASURED: Final = 2000  # windows by which a trunk's channels are scaled
CLOSED_BELOW_MM: Final = 1.0  # lips that far apart look closed
_KEPT: Final = {"mouthPucker": 0.8, "tongueBodyUp": 1.0, "tongueForward": 1.0, "tongueLow": 1.0, "tongueTipUp": 1.0}


@dataclass(frozen=True)
class EarsPreset:
    """Length of the training, in batches of pairs of neighbouring frames."""

    steps: int
    pairs: int = 256
    learning_rate: float = 1e-3
    warmup: int = 200
    evaluate_every: int = 1000

    @classmethod
    def of(cls, steps: int, pairs: int, learning_rate: float = 1e-3) -> EarsPreset:
        """For a training of any length."""
        return cls(steps, pairs, learning_rate, warmup=min(200, steps // 4 + 1), evaluate_every=min(1000, steps))


@dataclass(frozen=True, eq=False)
class Start:
    """Ears from which a training sets out."""

    ears: Ears
    sha256: str  # of the file that they, or the trunk alone, come from
    trained: bool = True  # rather than a trunk with nothing behind it


def new_ears(config: EarsConfig | None = None) -> Ears:
    """Untrained ears for the fifteen units; p, b and m look as the presenter's do. Without a trunk by default."""
    kept_U = torch.tensor([_KEPT.get(unit, 0.0) for unit in MOUTH_UNITS])
    return Ears(config or EarsConfig(len(MOUTH_UNITS)), torch.from_numpy(shape_units("PP")), kept_U)


def train_ears(
    material: Material,
    preset: EarsPreset,
    seed: int,
    folder: Path,
    device: torch.device,
    show_progress: bool = True,
    start: Start | None = None,
) -> dict[str, Any]:
    """Train, or go on training.

    Args:
        material: speech with its mouth.
        preset: length.
        seed: of all randomness.
        folder: of the run.
        device: to train on.
        show_progress: draw a progress bar.
        start: what the first step finds; None starts untrained.
    Returns:
        The content of best.pt, with `held_out`.
    Raises:
        InUseError, TrainingStopped: see training.loop.train.
    """
    torch.manual_seed(seed)
    stage = EarsStage(material, preset, device, start)
    source = {"source": {"sha256": material.made_of}, "recipe": recipe(), "av_offset": {"frames": 0, "removed": False}}
    identity = run_identity("ears", source, asdict(preset), seed, 1, stage.describe())
    plan = Plan(seed, preset.steps, preset.warmup, preset.evaluate_every, checkpoint_every=500)
    return train(stage, plan, folder, identity, Workers(), show_progress)


class EarsStage:
    """The fit, one step at a time."""

    columns: ClassVar[list[str]] = ["loss", "units", "opening", "closure", "motion", "learning_rate", "step_ms"]
    columns += [f"{key}{heard and '_' + heard}" for heard in HEARD for key in (*SUMMED, "score")]

    def __init__(
        self, material: Material, preset: EarsPreset, device: torch.device, from_ears: Start | None = None
    ) -> None:
        self.material, self.preset, self.device = material, preset, device
        self.started_from = from_ears.sha256 if from_ears else None
        self.ears = (copy.deepcopy(from_ears.ears) if from_ears else new_ears()).to(device)
        groups = [{"params": list(self.ears.parameters()), "base": preset.learning_rate}]
        self.optimiser = torch.optim.AdamW(groups, lr=preset.learning_rate, weight_decay=_WEIGHT_DECAY)
        self.optimisers: list[torch.optim.Optimizer] = [self.optimiser]
        self.augmenter = augmenter_of(material, HEARD_AS, device, LEARNT_SEED)
        self.judged_as = {heard: judged_as(material, heard, device) for heard in HEARD}
        self.units_TU = torch.from_numpy(material.units_TU).to(device)
        self.meet_T = torch.from_numpy(material.meet_T).to(device)
        self.first = torch.from_numpy(
            np.concatenate([np.arange(a, b - 1) for a, b in material.clips_of(held_out=False)])
        )
        meet_T = torch.from_numpy(material.meet_T)
        closed = meet_T[self.first] | meet_T[self.first + 1]
        self.weights = (1 + _CLOSED_EXTRA * closed).double()
        if from_ears and not from_ears.trained and self.ears.trunk:
            generator = torch.Generator().manual_seed(LEARNT_SEED)
            some = self.first[torch.multinomial(self.weights, _MEASURED, replacement=True, generator=generator)]
            heard = self.augmenter.augmented(some, generator_on(device, generator))
            self.ears.trunk.measure(levelled(heard)[..., :-1])

    def step(self, number: int, generator: torch.Generator, check: Check) -> dict[str, float]:
        chosen = torch.multinomial(self.weights, self.preset.pairs, replacement=True, generator=generator)
        frames = torch.stack([self.first[chosen], self.first[chosen] + 1], dim=1).flatten()
        frames, here = frames.to(self.device), generator_on(self.device, generator)
        features = self.augmenter.augmented(frames, here, group_size=2)
        units, meet = self.units_TU[frames], self.meet_T[frames]
        quiet = (torch.rand(self.preset.pairs, generator=generator) < _SILENCE_SHARE).repeat_interleave(2)
        silent, _ = silence_windows(int(quiet.sum()), AUDIO_WINDOW_SAMPLES, here)
        quiet = quiet.to(self.device)
        features[quiet] = self.augmenter.log_mel(silent)
        self.ears.train()
        units_told, closure = self.ears(features)
        terms = ears_error(units_told, closure, units * ~quiet[:, None], meet & ~quiet)
        loss = torch.stack(list(terms.values())).sum()
        loss.backward()
        descend(self.optimiser, self.ears.parameters(), Workers())
        told = torch.stack([loss, *terms.values()]).tolist()  # one wait for the device
        return dict(zip(["loss", *terms], told, strict=True))

    def judge(self, number: int, check: Check) -> Judgement:
        rows = {heard: evaluate_ears(self.ears, self.material, how) for heard, how in self.judged_as.items()}
        sums = {heard: summed(found) for heard, found in rows.items()}
        scores = {f"{key}{heard and '_' + heard}": x for heard, found in sums.items() for key, x in found.items()}
        return Judgement(
            scores=scores,
            score=float(np.mean([found["score"] for found in sums.values()])),
            best={"model": self.ears.state_dict(), "held_out": rows[""], "sums": sums},
            shown={key: f"{scores[key]:.3g}" for key in ("ccc", "closed_percent", "closed_percent_noise")},
        )

    def describe(self) -> dict[str, Any]:
        return {"ears_config": self.ears.config.to_dict(), "heard_as": asdict(HEARD_AS), "start": self.started_from}

    def state_dict(self) -> dict[str, Any]:
        return {"model": self.ears.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.ears.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])


def ears_error(told_BU: Tensor, closure_B: Tensor, units_BU: Tensor, meet_B: Tensor) -> dict[str, Tensor]:
    """The terms of the loss; B are pairs of neighbouring frames one after the other.

    The units and the opening of a p, b or m are not asked for: closure answers for them, and a mean between open and
    closed would teach the mouth to mumble.
    """
    gap_U = torch.tensor(GAP_MM_U, device=told_BU.device)
    opening, wanted = told_BU @ gap_U / _OPENING_MM, units_BU @ gap_U / _OPENING_MM
    spoken = 1.0 - 0.7 * meet_B.float()
    units = F.smooth_l1_loss(told_BU / _UNIT_SPREAD, units_BU / _UNIT_SPREAD, reduction="none").mean(dim=1)
    motion = (opening[1::2] - opening[::2]) - (wanted[1::2] - wanted[::2])
    return {
        "units": (units * spoken).mean(),
        "opening": ((opening - wanted).abs() * spoken).mean(),
        "closure": _CLOSURE_WEIGHT * F.binary_cross_entropy_with_logits(closure_B, meet_B.float()),
        "motion": _MOTION_WEIGHT * motion.abs().mean(),
    }


def augmenter_of(material: Material, how: AudioAugmentation, device: torch.device, seed: int) -> AudioAugmenter:
    """The material's sound, heard in some way; babble is made of the voices that are learnt from."""
    mel, pcm_S = LogMel(mel_config()).to(device), torch.from_numpy(material.pcm_S)
    return AudioAugmenter(mel, pcm_S, how, material.clips, material.clips_of(held_out=False), seed)


def judged_as(material: Material, heard: str, device: torch.device) -> AudioAugmenter:
    """The material's sound as one of HEARD; rooms and noises are others than those of the training."""
    return augmenter_of(material, HEARD[heard], device, _JUDGED_SEED)


@torch.no_grad()
def evaluate_ears(ears: Ears, material: Material, heard: AudioAugmenter) -> dict[str, dict[str, float]]:
    """What the ears make of every voice that was kept apart, with the voice gate open; see `scores_of`."""
    ears.eval()
    here, generator = heard.device, torch.Generator(heard.device).manual_seed(_JUDGED_SEED)

    def tell(start: int, stop: int) -> NDArray[np.float32]:
        parts = torch.arange(start, stop).split(256)
        windows = (heard.augmented(part, generator, len(part)) for part in parts)
        units = torch.cat([ears.tell(found, torch.ones(len(found), device=here)) for found in windows])
        return np.asarray(units.cpu().numpy(), np.float32)

    return scores_of(tell, material)


def summed(rows: dict[str, dict[str, float]]) -> dict[str, float]:
    """Means over synthetic and over real voices, as far as there are some, see SUMMED, and one `score` of both."""
    real = [row for voice, row in rows.items() if voice.startswith("real:")]
    told = [row for voice, row in rows.items() if not voice.startswith("real:")] or real

    def mean(some: list[dict[str, float]], key: str) -> float:
        return float(np.mean([row[key] for row in some]))

    kinds = [told, real] if real else [told]
    return {
        **{key: mean(told, key) for key in SUMMED if not key.startswith("real_")},
        **{key: mean(real, key.removeprefix("real_")) for key in SUMMED if real and key.startswith("real_")},
        "score": float(np.mean([mean(kind, "ccc") + 0.5 * mean(kind, "closed_percent") / 100 for kind in kinds])),
    }


def scores_of(tell: Callable[[int, int], NDArray[np.float32]], material: Material) -> dict[str, dict[str, float]]:
    """Scores of the voices that were kept apart.

    Args:
        tell: units (T, U) of the frames from start to stop, a clip of the material.
        material: with voices that were kept apart.
    Returns:
        By voice: r, ccc and amplitude of the opening; closed_percent of the p, b and m; false_percent of the frames
        told closed where the lips should stand clearly apart; p, b and m counted.
    """
    heard: dict[str, list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]]] = {}
    for voice, (start, stop), apart in zip(material.voices, material.clips, material.held_out, strict=True):
        if apart:
            true = opening_mm(material.units_TU[start:stop])
            heard.setdefault(voice, []).append((opening_mm(tell(start, stop)), true, material.meet_T[start:stop]))
    return {
        voice: opening_scores(
            np.concatenate([told for told, _, _ in clips]),
            np.concatenate([true for _, true, _ in clips]),
            np.concatenate([meet for _, _, meet in clips]),
        )
        for voice, clips in heard.items()
    }


def opening_scores(
    told_T: NDArray[np.float64], true_T: NDArray[np.float64], meet_T: NDArray[np.bool_]
) -> dict[str, float]:
    """How well an opening is told, see `evaluate_ears`; lengths in mm."""
    covariance = float(np.mean((told_T - told_T.mean()) * (true_T - true_T.mean())))
    spread = float(told_T.std() * true_T.std())
    apart = float(told_T.var() + true_T.var() + (told_T.mean() - true_T.mean()) ** 2)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], meet_T, [False]]).astype(int)))
    closures = [float(told_T[start:stop].min()) for start, stop in edges.reshape(-1, 2)]
    clearly = true_T > 3 * CLOSED_BELOW_MM
    return {
        "r": covariance / max(spread, 1e-9),
        "ccc": 2 * covariance / max(apart, 1e-9),
        "amplitude": float(told_T.std() / max(true_T.std(), 1e-9)),
        "closed_percent": 100 * float(np.mean([gap < CLOSED_BELOW_MM for gap in closures])) if closures else 100.0,
        "false_percent": 100 * float((told_T[clearly] < CLOSED_BELOW_MM).mean()) if clearly.any() else 0.0,
        "closures": float(len(closures)),
    }
