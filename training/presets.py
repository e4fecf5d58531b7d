"""How long and how large a training is; everything else about it is the same for all presets.

The weights follow published recipes for person-specific lip-sync nets and were checked on the synthetic presenter;
what was measured is in docs/model-details.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LONGEST_TEMPLATE_S: Final = 40.0  # of the film that an avatar is drawn on


@dataclass(frozen=True)
class SyncNetPreset:
    """Steps of the SyncNet stage, in batches of five-frame windows."""

    steps: int
    batch: int
    learning_rate: float = 4e-4
    warmup: int = 100
    evaluate_every: int = 200
    patience: int = 6  # evaluations without a better held-out score before the stage ends early


@dataclass(frozen=True)
class LipPreset:
    """Steps of the audio encoder's fit to the tracked lips, in batches of single frames."""

    steps: int
    batch: int = 192
    learning_rate: float = 1e-3
    warmup: int = 100
    evaluate_every: int = 300


@dataclass(frozen=True)
class FitPreset:
    """Steps of the shipped ears' fit to a person, in batches of single frames."""

    steps: int
    batch: int = 64
    learning_rate: float = 3e-4
    warmup: int = 20
    evaluate_every: int = 60


@dataclass(frozen=True)
class UNetPreset:
    """Steps of the generator stages: A small, B full size, C adversarial, D cool-down."""

    steps_a: int
    steps_b: int
    steps_c: int
    steps_d: int
    clips: int  # clips per step in B-D; stage A takes `clips * clip_frames` single frames
    clip_frames: int = 3
    learning_rate: float = 2e-4
    audio_learning_rate: float = 5e-5  # the audio encoder arrives trained; it only settles
    warmup: int = 500
    ema: float = 0.999
    evaluate_every: int = 1000
    checkpoint_every: int = 500
    # capacity
    widths: tuple[int, int, int, int, int] = (32, 64, 128, 256, 512)
    critic_width: int = 48
    # weights of the losses
    mouth: float = 4.0  # extra L1 inside the mouth box
    structure: float = 0.5  # 1 - MS-SSIM
    gradient: float = 0.5
    temporal: float = 0.5
    sync: float = 0.03
    perceptual: float = 0.02  # VGG19, only when its weights are on disk
    adversarial: float = 0.05
    matching: float = 5.0
    r1: float = 1.0
    r1_every: int = 16
    # data
    silence_share: float = 0.08  # clips whose sound is synthetic silence and whose mouth is closed
    augment_share: float = 0.7  # clips whose sound is augmented

    @property
    def steps(self) -> int:
        return self.steps_a + self.steps_b + self.steps_c + self.steps_d

    def stage(self, step: int) -> str:
        """A, B, C or D."""
        for name, length in (("A", self.steps_a), ("B", self.steps_b), ("C", self.steps_c)):
            if step < length:
                return name
            step -= length
        return "D"


@dataclass(frozen=True)
class Preset:
    """One choice of `--preset`."""

    syncnet: SyncNetPreset
    lips: LipPreset
    unet: UNetPreset
    purpose: str
    fit: FitPreset = FitPreset(steps=240)


PRESETS: dict[str, Preset] = {
    "full": Preset(
        SyncNetPreset(steps=5000, batch=384, warmup=300, evaluate_every=250),
        LipPreset(steps=6000, batch=384, warmup=300),
        UNetPreset(steps_a=6000, steps_b=6000, steps_c=9000, steps_d=2400, clips=8, clip_frames=4),
        "five minutes of video on one modern GPU",
        fit=FitPreset(steps=1500, evaluate_every=150),
    ),
    "quick": Preset(
        SyncNetPreset(steps=300, batch=64, evaluate_every=50, patience=4),
        LipPreset(steps=600, evaluate_every=100),
        UNetPreset(
            steps_a=1000,
            steps_b=700,
            steps_c=120,
            steps_d=60,
            clips=3,
            warmup=100,
            ema=0.995,
            learning_rate=3e-4,
            audio_learning_rate=1.5e-4,
            evaluate_every=300,
            checkpoint_every=100,
        ),
        "twenty seconds of video on two CPU cores, within 45 minutes",
    ),
    "cpu": Preset(
        SyncNetPreset(steps=500, batch=64, evaluate_every=100, patience=4),
        LipPreset(steps=3000),
        UNetPreset(
            steps_a=2200,
            steps_b=1300,
            steps_c=1200,
            steps_d=200,
            clips=3,
            warmup=100,
            ema=0.998,
            learning_rate=3e-4,
            evaluate_every=700,
            checkpoint_every=100,
        ),
        "five minutes of video on two CPU cores, within an hour",
        fit=FitPreset(steps=600, evaluate_every=100),
    ),
    "settle": Preset(
        SyncNetPreset(steps=500, batch=64, evaluate_every=100, patience=4),
        LipPreset(steps=2400),
        UNetPreset(
            steps_a=0,
            steps_b=170,
            steps_c=110,
            steps_d=70,
            clips=3,
            warmup=30,
            ema=0.99,
            learning_rate=1.5e-4,
            audio_learning_rate=3e-5,
            evaluate_every=120,
            checkpoint_every=60,
        ),
        "a generator that starts from a trained one (--start_from)",
    ),
    "tiny": Preset(
        SyncNetPreset(steps=30, batch=32, warmup=10, evaluate_every=15),
        LipPreset(steps=60, batch=64, warmup=10, evaluate_every=30),
        UNetPreset(
            steps_a=110,
            steps_b=24,
            steps_c=4,
            steps_d=4,
            clips=2,
            warmup=20,
            ema=0.97,
            learning_rate=4e-4,
            evaluate_every=71,
            checkpoint_every=40,
        ),
        "the whole path in about two minutes, for tests; the picture is only a sketch",
        fit=FitPreset(steps=4, batch=16, warmup=1, evaluate_every=2),
    ),
}
