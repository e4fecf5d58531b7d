"""A film avatar's ears, taught what the shipped ears have learnt since, without its recording.

What the avatar tells of speech in quiet is what it is to tell of the same speech in noise, in a room and in another
voice; the lips meet where p, b and m are spoken, and what the shipped ears hear is kept as in the fit.

Axes: B pairs of frames, T frames of the material, P articulation.
"""

from __future__ import annotations

import copy
import logging
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import torch
from torch.nn import functional as F

from models.ears import EarsConfig, sureness
from models.fitted_ears import FittedEars
from recipe.articulation.mouth_units import opening_mm
from recipe.avatar_format import AUDIO_ENCODER_FILE, check_files, read_manifest, write_manifest
from recipe.errors import UserError
from recipe.files import built_aside, sha256
from recipe.film.shape import ARTICULATION
from recipe.recipe_328 import AUDIO_WINDOW_SAMPLES, recipe
from recipe.shipped import EARS_FILE
from training.audio_augmentation import AudioAugmenter
from training.distributed import Workers
from training.ears.material import Material
from training.ears.shipped import shipped_ears
from training.ears.stage import CLOSED_BELOW_MM, HEARD, HEARD_AS, LEARNT_SEED, augmenter_of, judged_as
from training.identity import run_identity
from training.loop import Check, Judgement, Plan, descend, train
from training.sound import generator_on
from training.stored_weights import StoredWeightsError, read_weights, replace_weights
from training.synthetic_silence import silence_windows

log = logging.getLogger(__name__)

_PREFIX: Final = "fitted."
_FOLDED: Final = ("ears.encoder.silence", "ears.closed_U", "ears.kept_U", "facts_3")  # nameless in the graph
_WEIGHT_DECAY: Final = 0.02
_CLOSED_EXTRA: Final = 3.0  # a pair with a p, b or m is drawn so much more often
_SILENCE_SHARE: Final = 0.1
_SHARP_P: Final = 0.3
_UNIT_SPREAD: Final = 0.12
_KEEP_UNITS, _CLOSURE, _MOTION = 0.5, 0.8, 0.5
_SURE: Final = 0.5  # of closing the lips, from which they count as closed
_SUMMED: Final = ("r", "closed_percent", "false_percent")


@dataclass(frozen=True)
class RenewalPreset:
    """Length of the training, in batches of pairs of neighbouring frames."""

    steps: int = 600
    pairs: int = 64
    learning_rate: float = 2e-4

    @property
    def plan(self) -> Plan:
        """With a look at every quarter."""
        every = max(self.steps // 4, 1)
        return Plan(328, self.steps, min(50, every), every, checkpoint_every=every)


def renew(folder: Path, material: Material, preset: RenewalPreset, run: Path, device: torch.device) -> None:
    """Teach an avatar's ears, or go on teaching them, and put them in place of the old ones.

    Args:
        folder: of the avatar.
        material: speech with its mouth.
        preset: length.
        run: folder of the training.
        device: to train on.
    Raises:
        UserError: the folder holds no film avatar.
        InUseError, TrainingStopped: see training.loop.train; the avatar is as it was.
    """
    manifest = read_manifest(folder)
    if manifest.kind != "film":
        raise UserError(f"{folder} is an avatar of kind {manifest.kind}; only ears fitted to a film can be renewed")
    check_files(folder, manifest)
    stage = RenewalStage(folder / AUDIO_ENCODER_FILE, material, preset, device)
    before = stage.judge(0, lambda: None)
    log.info("%s", _table({"before": before.scores}))
    source = {"source": {"sha256": material.made_of}, "recipe": recipe(), "av_offset": {"frames": 0, "removed": False}}
    plan = preset.plan
    identity = run_identity("renewal", source, asdict(preset), plan.seed, 1, stage.describe())
    best = train(stage, plan, run, identity, Workers())
    log.info("%s", _table({"before": before.scores, "after": best["scores"]}))
    if before.score is not None and best["score"] <= before.score:
        log.warning("the ears of %s are better as they are; nothing was changed", folder)
        return
    stage.fitted.load_state_dict(best["model"])
    with built_aside(folder) as made:
        shutil.copytree(folder, made, dirs_exist_ok=True)
        replace_weights(made / AUDIO_ENCODER_FILE, stage.fitted, _PREFIX, _FOLDED)
        files = manifest.files | {AUDIO_ENCODER_FILE: sha256(made / AUDIO_ENCODER_FILE)}
        # The metrics stay those of the ears before: the recording that they were measured on is not here.
        renewed = {"steps": best["step"], "ears": sha256(EARS_FILE), "metrics_from_before": True}
        write_manifest(made, replace(manifest, files=files, versions=manifest.versions | {"renewed": renewed}))


def _read(encoder: Path, config: EarsConfig) -> FittedEars:
    """An avatar's ears, of the shipped ones' shape or, if they are older, of the shape without a trunk."""
    for shape in (config, EarsConfig(config.units)):
        fitted = FittedEars(shape, ARTICULATION)
        try:
            fitted.load_state_dict(read_weights(encoder, fitted, _PREFIX, _FOLDED))
        except StoredWeightsError:
            if shape.trunk is None:
                raise
            log.info("the ears of %s are of the older shape without a trunk, and stay so", encoder)
        else:
            return fitted
    raise AssertionError("the loop returns or raises")


def _table(rows: dict[str, dict[str, float]]) -> str:
    """Scores of voices that neither training heard: as they are, in noise at 10 dB, in a room of 0.6 s."""
    columns = next(iter(rows.values()))
    lines = [f"{'':8}" + "".join(f"{column:>22}" for column in columns)]
    lines += [f"{name:8}" + "".join(f"{row[column]:22.3g}" for column in columns) for name, row in rows.items()]
    return "\n".join(lines)


class RenewalStage:
    """The teaching, one step at a time."""

    columns: ClassVar[list[str]] = ["loss", "articulation", "motion", "closure", "kept", "learning_rate", "step_ms"]
    columns += [f"{key}{heard and '_' + heard}" for heard in HEARD for key in _SUMMED]

    def __init__(self, encoder: Path, material: Material, preset: RenewalPreset, device: torch.device) -> None:
        self.material, self.preset, self.device = material, preset, device
        self.encoder_sha256 = sha256(encoder)
        self.shipped = shipped_ears().to(device).requires_grad_(False)
        self.fitted = _read(encoder, self.shipped.config).to(device)
        self.before = copy.deepcopy(self.fitted).eval().requires_grad_(False)
        groups = [{"params": list(self.fitted.parameters()), "base": preset.learning_rate}]
        self.optimiser = torch.optim.AdamW(groups, lr=preset.learning_rate, weight_decay=_WEIGHT_DECAY)
        self.optimisers: list[torch.optim.Optimizer] = [self.optimiser]
        self.augmenter = augmenter_of(material, HEARD_AS, device, LEARNT_SEED)
        self.judged_as = {heard: judged_as(material, heard, device) for heard in HEARD}
        learnt = material.clips_of(held_out=False)
        self.first = torch.from_numpy(np.concatenate([np.arange(start, stop - 1) for start, stop in learnt]))
        meet_T = torch.from_numpy(material.meet_T)
        self.meet_T = meet_T.to(device)
        self.weights = (1 + _CLOSED_EXTRA * (meet_T[self.first] | meet_T[self.first + 1])).double()

    def step(self, number: int, generator: torch.Generator, check: Check) -> dict[str, float]:
        chosen = torch.multinomial(self.weights, self.preset.pairs, replacement=True, generator=generator)
        frames = torch.stack([self.first[chosen], self.first[chosen] + 1], dim=1).flatten().to(self.device)
        here = generator_on(self.device, generator)
        quiet = (torch.rand(self.preset.pairs, generator=generator) < _SILENCE_SHARE).repeat_interleave(2)
        silent, _ = silence_windows(int(quiet.sum()), AUDIO_WINDOW_SAMPLES, here)
        quiet = quiet.to(self.device)
        with torch.no_grad():
            wanted_BP = torch.where(quiet[:, None], self.before.rest_P, self.before(self.augmenter.clean(frames))[0])
            features = self.augmenter.augmented(frames, here, group_size=2)
            features[quiet] = self.augmenter.log_mel(silent)
            known_BU, _ = self.shipped(features)
        self.fitted.train()
        told_BP, units_BU, closure_B = self.fitted(features)
        meet_B = (self.meet_T[frames] & ~quiet).float()
        opening, true = told_BP @ self.fitted.opens_P, wanted_BP @ self.fitted.opens_P
        spread = (self.fitted.opens_P.norm()).clamp_min(1e-6)
        moved = (opening[1::2] - opening[::2]) - (true[1::2] - true[::2])
        terms = {
            "articulation": F.smooth_l1_loss(told_BP, wanted_BP, beta=_SHARP_P),
            "motion": _MOTION * (moved / spread).abs().mean(),
            "closure": _CLOSURE * F.binary_cross_entropy_with_logits(closure_B, meet_B),
            "kept": _KEEP_UNITS * F.smooth_l1_loss(units_BU / _UNIT_SPREAD, known_BU / _UNIT_SPREAD),
        }
        loss = torch.stack(list(terms.values())).sum()
        loss.backward()
        descend(self.optimiser, self.fitted.parameters(), Workers())
        told = torch.stack([loss, *terms.values()]).tolist()
        return dict(zip(["loss", *terms], told, strict=True))

    def judge(self, number: int, check: Check) -> Judgement:
        rows = {heard: self._heard(how) for heard, how in self.judged_as.items()}
        scores = {f"{key}{heard and '_' + heard}": row[key] for heard, row in rows.items() for key in _SUMMED}
        score = float(np.mean([row["r"] + 0.5 * row["closed_percent"] / 100 for row in rows.values()]))
        return Judgement(
            scores=scores,
            score=score,
            best={"model": self.fitted.state_dict(), "scores": scores, "score": score},
            shown={key: f"{scores[key]:.3g}" for key in ("r", "r_noise", "closed_percent_noise")},
        )

    @torch.no_grad()
    def _heard(self, how: AudioAugmenter) -> dict[str, float]:
        """Over all voices that were kept apart: r of the opening, p, b and m that surely close, frames falsely so."""
        self.fitted.eval()
        generator, told, sure, frames = torch.Generator(how.device).manual_seed(LEARNT_SEED), [], [], []
        for start, stop in self.material.clips_of(held_out=True):
            for part in torch.arange(start, stop).split(256):
                told_BP, _, closure_B = self.fitted(how.augmented(part, generator, len(part)))
                told.append(told_BP @ self.fitted.opens_P)
                sure.append(sureness(closure_B))
                frames.append(part)
        at = torch.cat(frames).numpy()
        true_mm = opening_mm(self.material.units_TU[at])
        surely = torch.cat(sure).cpu().numpy() > _SURE
        meet = self.material.meet_T[at]
        edges = np.flatnonzero(np.diff(np.concatenate([[False], meet, [False]]).astype(int))).reshape(-1, 2)
        return {
            "r": float(np.corrcoef(torch.cat(told).cpu().numpy(), true_mm)[0, 1]),
            "closed_percent": 100 * float(np.mean([surely[start:stop].any() for start, stop in edges])),
            "false_percent": 100 * float(surely[true_mm > 3 * CLOSED_BELOW_MM].mean()),
        }

    def describe(self) -> dict[str, Any]:
        return {"before": self.encoder_sha256, "ears": sha256(EARS_FILE), "heard_as": asdict(HEARD_AS)}

    def state_dict(self) -> dict[str, Any]:
        return {"model": self.fitted.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.fitted.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
