"""What `python -m benchmarks.front_ends` measures; why and how is said there.

Axes: B windows, L samples around a frame, S samples of a window, N tokens, D feature.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from importlib import import_module, resources
from pathlib import Path
from typing import Any, Final

import configargparse
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.table import report
from models.audio_encoder import LogMel
from models.audio_features_hf import PretrainedFeatureConfig, load_pretrained, time_weights
from models.ears import Ears, EarsConfig, levelled
from recipe.articulation.mouth_units import MOUTH_UNITS
from recipe.errors import UserError
from recipe.files import written_aside
from recipe.progress import progress
from recipe.recipe_328 import AUDIO_WINDOW_SAMPLES, SAMPLE_RATE_HZ
from training.audio_augmentation import AudioAugmentation, AudioAugmenter
from training.ears.material import Material, load_material
from training.ears.stage import HEARD, LEARNT_SEED, SUMMED, ears_error, new_ears, scores_of, summed
from training.sound import mel_config
from training.synthetic_silence import silence_windows

LONG_SAMPLES: Final = 14_080  # 0.88 s, of which 251 ms lie after the frame's centre, as of the short window
_CENTRE: Final = 10_240  # of the samples that an augmenter reads around a frame
_END: Final = _CENTRE + AUDIO_WINDOW_SAMPLES // 2
_AT_ONCE: Final = 512
_PAIRS: Final = 128
_LEARNING_RATE: Final = 1e-3
_FEW_TOKENS: Final = 24  # 21 ms apart: a pretrained network knows its context, see AudioEncoderConfig
_SILENT_SHARE: Final = 0.12
_CLOSED_EXTRA: Final = 3.0
# What changes a voice (pitch, tract, tone) is left to the voices themselves: a pretrained front end hears samples.
_LEARNT_AS: Final = replace(
    AudioAugmentation.off(),
    noise=0.6, noise_snr_db=(0.0, 30.0), reverb=0.6, reverb_rt60_s=(0.15, 0.8), reverb_tail_db=(-10.0, 5.0),
)  # fmt: skip
MEL: Final = "log-mel, 0.5 s"
WHISPER: Final = "Whisper"
FrontEnd = Callable[[Tensor], Tensor]


class PlacedSound(AudioAugmenter):
    """Its `augmented` gives samples (B, L) that end where the window ends, in a room and with noise."""

    def _changed(self, frames_B: Tensor, draw: Any) -> Tensor:
        return self._placed(frames_B, self._resampled(frames_B, torch.ones(len(frames_B))), draw)[:, :_END]

    def _reverberate(self, pcm_BL: Tensor, draw: Any) -> Tensor:
        """Without the wrap-around, which a longer window would hear."""
        long = 2 * pcm_BL.shape[1]
        rooms_RF = torch.fft.rfft(torch.fft.irfft(self._rooms_RF, n=pcm_BL.shape[1]), n=long)
        wet_BL = torch.fft.irfft(torch.fft.rfft(pcm_BL, n=long) * rooms_RF[draw.integers(len(rooms_RF))], n=long)
        return torch.where(draw.chance(self.config.reverb)[:, None], wet_BL[:, : pcm_BL.shape[1]], pcm_BL)


class Listener(Ears):
    """Ears behind any front end: the same network, told each feature by its spread instead of levelled."""

    mean_D: Tensor
    spread_D: Tensor

    def __init__(self, config: EarsConfig, like: Ears) -> None:
        super().__init__(config, like.closed_U, like.kept_U)
        self.register_buffer("mean_D", torch.zeros(config.encoder.input_dim))
        self.register_buffer("spread_D", torch.ones(config.encoder.input_dim))

    def forward(self, features_BND: Tensor) -> tuple[Tensor, Tensor]:
        heard_BE = self.encoder((features_BND - self.mean_D) / self.spread_D)
        return self.units(heard_BE), self.closure(heard_BE)[:, 0]


@dataclass(frozen=True, eq=False)
class Plan:
    """Which frames are heard, and how, one after the other: what is learnt from first, then each of HEARD."""

    material: Material
    learnt_F: Tensor  # frames: pairs of neighbours; the silent ones at their end are not heard
    silent: int
    judged_F: Tensor  # frames of the clips apart

    @classmethod
    def of(cls, material: Material, pairs: int) -> Plan:
        """Pairs as training.ears draws them."""
        generator = torch.Generator().manual_seed(LEARNT_SEED)
        first = torch.from_numpy(np.concatenate([np.arange(a, b - 1) for a, b in material.clips_of(held_out=False)]))
        meet_T = torch.from_numpy(material.meet_T)
        weights = 1.0 + _CLOSED_EXTRA * (meet_T[first] | meet_T[first + 1])
        chosen = first[torch.multinomial(weights.double(), pairs, replacement=True, generator=generator)]
        judged = np.concatenate([np.arange(a, b) for a, b in material.clips_of(held_out=True)])
        learnt_F = torch.stack([chosen, chosen + 1], dim=1).flatten()
        return cls(material, learnt_F, 2 * round(_SILENT_SHARE * pairs), torch.from_numpy(judged))

    def __len__(self) -> int:
        return len(self.learnt_F) + len(HEARD) * len(self.judged_F)

    def sound(self) -> Iterator[Tensor]:
        """Windows of LONG_SAMPLES, in pieces."""
        generator = torch.Generator().manual_seed(LEARNT_SEED)
        spoken = len(self.learnt_F) - self.silent
        yield from self._placed(_LEARNT_AS, self.learnt_F[:spoken], 2, LEARNT_SEED)
        for part in torch.arange(self.silent).split(_AT_ONCE):
            yield silence_windows(len(part), LONG_SAMPLES, generator)[0]
        for how in HEARD.values():
            yield from self._placed(how, self.judged_F, 1, LEARNT_SEED + 1)

    def _placed(self, how: AudioAugmentation, frames_F: Tensor, group: int, seed: int) -> Iterator[Tensor]:
        voices = self.material.clips_of(held_out=False)
        pcm_S, generator = torch.from_numpy(self.material.pcm_S), torch.Generator().manual_seed(seed)
        sound = PlacedSound(LogMel(mel_config()), pcm_S, how, self.material.clips, voices, seed)
        for part in frames_F.split(_AT_ONCE):
            yield sound.augmented(part, generator, group)[:, -LONG_SAMPLES:]

    def judged(self, how: str) -> slice:
        """Where the clips apart lie, heard in one way."""
        start = len(self.learnt_F) + list(HEARD).index(how) * len(self.judged_F)
        return slice(start, start + len(self.judged_F))


def run(options: configargparse.Namespace) -> None:
    """Measure and print."""
    plan = Plan.of(opened(options), options.pairs)
    known = front_ends(options.whisper, options.hama)
    compared = {name: (name,) for name in known} | ({"Whisper and log-mel": (WHISPER, MEL)} if options.whisper else {})
    if unknown := set(options.only or ()) - set(compared):
        raise UserError(f"no front end {', '.join(unknown)}; there are {', '.join(compared)}")
    rows: list[tuple[str | float, ...]] = []
    for name, parts in compared.items():
        if options.only and name not in options.only:
            continue
        heard = [passed_through(part, known[part], plan, options.work) for part in parts]
        net, ms = fitted(heard, plan, options.steps, name), sum(one.ms for one in heard)
        rows += [(name, *scores, ms) for scores in judged(net, heard, plan)]
        report("Front ends", ("front end", "heard in", *SUMMED, "ms of a window"), rows, options.json)


def opened(options: configargparse.Namespace) -> Material:
    """The material, spoken into the folder for work or found there."""
    options.work.mkdir(parents=True, exist_ok=True)
    return load_material(options.work / "material.npz", options.speech, options.share)


def front_ends(whisper: Path | None, hama: bool) -> dict[str, FrontEnd]:
    """By name: windows of LONG_SAMPLES -> features (B, N, D)."""
    mel = mel_config()
    short, long = LogMel(mel), LogMel(replace(mel, frames=1 + (LONG_SAMPLES - mel.n_fft) // mel.hop))

    def of_short(pcm_BS: Tensor) -> Tensor:
        return levelled(short(pcm_BS[:, -AUDIO_WINDOW_SAMPLES:]))

    def of_long(pcm_BS: Tensor) -> Tensor:
        return levelled(long(pcm_BS[:, -long.config.window_samples :]))

    found: dict[str, FrontEnd] = {MEL: of_short, "log-mel, 0.88 s": of_long}
    reach = AUDIO_WINDOW_SAMPLES // 2
    config = PretrainedFeatureConfig("whisper", SAMPLE_RATE_HZ, reach, window_samples=LONG_SAMPLES)
    if whisper:
        found[WHISPER], _ = load_pretrained(str(whisper), config)
    if hama:
        found["hama's phones"] = _hama(config)
    return found


def _hama(config: PretrainedFeatureConfig) -> FrontEnd:
    """Log-probabilities of phones, 50 a second."""
    engine = import_module("hama._engine")
    session = engine.AsrSession(resources.files("hama.assets").joinpath("asr_waveform.hama").read_bytes())

    def one(pcm_S: NDArray[np.float32]) -> NDArray[np.float32]:
        (found_1MD,) = session.run(["log_probs"], {"waveform": pcm_S})
        return np.asarray(found_1MD[0], np.float32).clip(-12, 0)

    steps = len(one(np.zeros(LONG_SAMPLES, np.float32)))
    mixing_NM = torch.from_numpy(time_weights(config, 0.0, SAMPLE_RATE_HZ // 50, steps))
    pool = ThreadPoolExecutor(os.cpu_count())
    return lambda pcm_BS: mixing_NM @ torch.from_numpy(np.stack(list(pool.map(one, pcm_BS.numpy()))))


@dataclass(frozen=True, eq=False)
class Heard:
    """What a front end made of all windows of a plan."""

    features: NDArray[np.float16]  # (windows, N, D), on disk
    ms: float  # of one window


def gathered(heard: Sequence[Heard], rows: NDArray[np.int64] | slice) -> Tensor:
    """Features side by side, (B, N, D); where one has more tokens, some of its tokens make one."""
    parts = [torch.from_numpy(one.features[rows].astype(np.float32)) for one in heard]
    tokens = min(part.shape[1] for part in parts)
    return torch.cat([part.unflatten(1, (tokens, -1)).flatten(2) for part in parts], dim=2)


@torch.inference_mode()
def passed_through(name: str, front_end: FrontEnd, plan: Plan, work: Path) -> Heard:
    """All windows through a front end, or what was made of them before."""
    of_what = hashlib.sha256(f"{name} {len(plan)} {plan.silent} {plan.material.made_of}".encode()).hexdigest()[:12]
    path = work / f"{''.join(letter for letter in name if letter.isalnum())}-{of_what}.npy"
    card = path.with_suffix(".json")
    if not card.is_file():
        shape = front_end(torch.zeros(1, LONG_SAMPLES)).shape[1:]
        out = np.lib.format.open_memmap(path, "w+", np.float16, (len(plan), *shape))
        at, spent = 0, 0.0
        for pcm_BS in progress(plan.sound(), desc=name, total=len(plan) // _AT_ONCE):
            started = time.perf_counter()
            out[at : at + len(pcm_BS)] = front_end(pcm_BS).numpy()
            spent += time.perf_counter() - started
            at += len(pcm_BS)
        out.flush()
        with written_aside(card) as part:  # last: it says that the rest is whole
            part.write_text(json.dumps({"ms": 1e3 * spent / len(plan)}))
    return Heard(np.load(path, mmap_mode="r"), float(json.loads(card.read_text())["ms"]))


def fitted(heard: Sequence[Heard], plan: Plan, steps: int, name: str, of_pairs: Tensor | None = None) -> Listener:
    """The network of the ears, trained on what a front end gave.

    Args:
        heard: by it, or by some side by side.
        plan: what was heard.
        steps: of the training.
        name: shown meanwhile.
        of_pairs: numbers of the pairs of the plan that it learns from; None takes all.
    """
    torch.manual_seed(LEARNT_SEED)
    generator = torch.Generator().manual_seed(LEARNT_SEED)
    some = gathered(heard, slice(0, len(plan.learnt_F), 50))
    like, (_, tokens, dim) = new_ears(), some.shape
    encoder = replace(
        like.config.encoder, input_dim=dim, input_frames=tokens, stem_kernel=5 if tokens > _FEW_TOKENS else 1
    )
    net = Listener(EarsConfig(len(MOUTH_UNITS), encoder), like)
    net.mean_D, net.spread_D = some.mean(dim=(0, 1)), some.std(dim=(0, 1)).clamp_min(1e-3)
    optimiser = torch.optim.AdamW(net.parameters(), lr=_LEARNING_RATE, weight_decay=0.02)
    pace = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, _LEARNING_RATE, total_steps=steps, pct_start=0.1, anneal_strategy="cos"
    )
    material, quiet_from = plan.material, len(plan.learnt_F) - plan.silent
    units_TU, meet_T = torch.from_numpy(material.units_TU), torch.from_numpy(material.meet_T)
    of_pairs = torch.arange(len(plan.learnt_F) // 2) if of_pairs is None else of_pairs
    for _ in progress(range(steps), desc=f"{name}: training"):
        pairs = of_pairs[torch.randint(len(of_pairs), (_PAIRS,), generator=generator)]
        rows = torch.stack([2 * pairs, 2 * pairs + 1], dim=1).flatten()
        frames, spoken = plan.learnt_F[rows], rows < quiet_from
        told_BU, closure_B = net.train()(gathered(heard, rows.numpy()))
        terms = ears_error(told_BU, closure_B, units_TU[frames] * spoken[:, None], meet_T[frames] & spoken)
        optimiser.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        pace.step()
    return net.eval()


def judged(net: Listener, heard: Sequence[Heard], plan: Plan) -> list[tuple[str | float, ...]]:
    """How it is heard in, and SUMMED, of the voices apart."""
    found: list[tuple[str | float, ...]] = []
    for how in HEARD:
        sums = summed(scores_of(_teller(net, heard, plan, how), plan.material))
        found.append((how or "quiet", *(sums.get(key, float("nan")) for key in SUMMED)))
    return found


def _teller(net: Listener, heard: Sequence[Heard], plan: Plan, how: str) -> Callable[[int, int], NDArray[np.float32]]:
    """Units of a clip's frames, for `scores_of`."""
    at = plan.judged(how).start
    row_of = {int(frame): at + row for row, frame in enumerate(plan.judged_F)}

    @torch.inference_mode()
    def tell(start: int, stop: int) -> NDArray[np.float32]:
        features = gathered(heard, slice(row_of[start], row_of[stop - 1] + 1))
        return np.asarray(net.tell(features, torch.ones(len(features))).numpy(), np.float32)

    return tell
