"""Models of others that some part of this project can use and that can be fetched by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from recipe.errors import UserError

_SPEECH_FILES: Final = ("config.json", "preprocessor_config.json", "model.safetensors")


class ModelFetchError(UserError):
    """A model of others is not known, cannot be fetched, or is not what its publisher says."""


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One that is published on the Hugging Face Hub."""

    name: str
    repository: str
    files: tuple[str, ...]
    licence: str  # as its publisher states it
    use: str

    @property
    def page(self) -> str:
        return f"https://huggingface.co/{self.repository}"


KNOWN: Final = {
    model.name: model
    for model in (
        KnownModel("hubert", "facebook/hubert-large-ls960-ft", _SPEECH_FILES, "Apache-2.0", "--audio_features hubert"),
        KnownModel("wav2vec2", "facebook/wav2vec2-base-960h", _SPEECH_FILES, "Apache-2.0", "--audio_features wav2vec2"),
        KnownModel("whisper", "openai/whisper-tiny", _SPEECH_FILES, "Apache-2.0", "--audio_features whisper"),
    )
}
