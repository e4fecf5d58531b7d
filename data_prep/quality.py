"""Judge in plain words whether a recording will make a good avatar, and say what to redo."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from data_prep import quality_picture as picture
from data_prep import quality_sound as sound
from data_prep.quality_inputs import Finding, Level, QualityInputs

__all__ = ["Finding", "Level", "QualityInputs", "QualityReport", "Verdict", "judge"]

Verdict = Literal["good", "usable", "poor"]

_VERDICT: Final[dict[Level, Verdict]] = {"ok": "good", "warn": "usable", "bad": "poor"}
_SEVERITY: Final[dict[Level, int]] = {"bad": 0, "warn": 1, "ok": 2}
_MEANING: Final[dict[Verdict, str]] = {
    "good": "This recording will make a good avatar.",
    "usable": "This recording will do.",
    "poor": "Record again if you can: the avatar would disappoint.",
}


@dataclass(frozen=True)
class QualityReport:
    """The verdict and its reasons, the worst first."""

    verdict: Verdict
    findings: list[Finding]

    @property
    def summary(self) -> str:
        """One or two sentences for a person."""
        if self.verdict == "good":
            return _MEANING["good"]
        named = ", ".join(finding.what.lower() for finding in self.findings if _VERDICT[finding.level] == self.verdict)
        return (
            f"{_MEANING[self.verdict]} {'What fails' if self.verdict == 'poor' else 'What could be better'}: {named}."
        )

    def to_json(self) -> dict[str, Any]:
        """As stored in the dataset's manifest."""
        return {"verdict": self.verdict, "findings": [asdict(finding) for finding in self.findings]}


def judge(inputs: QualityInputs) -> QualityReport:
    """Look at everything that decides how good an avatar becomes. The worst finding is the verdict.

    Raises:
        ValueError: no frame has a good face, so there is nothing to judge.
    """
    if not inputs.valid_T.any():
        raise ValueError(f"none of {len(inputs.valid_T)} frames has a good face: there is nothing to judge")
    heard = sound.listen(inputs)
    findings = [
        picture.length(inputs),
        sound.closed_silence(inputs, heard),
        picture.face_size(inputs),
        picture.head_pose(inputs),
        picture.head_motion(inputs),
        picture.sharpness(inputs),
        picture.exposure(inputs),
        picture.face_lost(inputs),
        picture.second_face(inputs),
        picture.one_take(inputs),
        sound.level(inputs, heard),
        sound.noise(inputs, heard),
        sound.room(inputs, heard),
        sound.second_voice(inputs, heard),
        sound.sync(inputs, heard),
        sound.mouth_variety(inputs, heard),
        picture.source(inputs),
        *inputs.converted,
    ]
    findings.sort(key=lambda finding: _SEVERITY[finding.level])
    return QualityReport(_VERDICT[findings[0].level], findings)
