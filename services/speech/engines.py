"""The speech engines of this machine, put together; a new one is one class like `Engine` and one line here."""

from __future__ import annotations

from typing import Final

from config import ConfigError, Limits, Tts
from services.remote import Remote
from services.speech.cache import SpeechCache
from services.speech.engine import Engine
from services.speech.espeak import EspeakTTS
from services.speech.flite import FliteTTS
from services.speech.piper import PiperTTS
from services.speech.remote import RemoteTTS
from services.tts_service import SpeechService

_MIB: Final = 1 << 20


def build_speech(tts: Tts | None = None, most_characters: int | None = None) -> SpeechService:
    """Put the speech engines together, the best first; nothing is loaded yet.

    Args:
        tts: which voice speaks, and where voices and remembered speech lie; by default nothing is remembered.
        most_characters: of a text; by default what the settings say.
    """
    tts = tts or Tts(cache_mb=0)
    engines: list[Engine] = [*_remote(tts), PiperTTS(tts.voices_dir, tts.model_path), FliteTTS(), EspeakTTS()]
    default = f"piper:{tts.model_path.stem}" if tts.voice is None and tts.model_path is not None else tts.voice
    cache = SpeechCache(tts.cache_dir, tts.cache_mb * _MIB) if tts.cache_mb else None
    return SpeechService(engines, default, cache, most_characters or Limits().text_characters)


def _remote(tts: Tts) -> list[Engine]:
    """Another server's voices, if one is named: whoever names it wants it to speak.

    Raises:
        ConfigError: its address is none.
    """
    url, key, timeout_s = tts.remote_url, tts.remote_key.get_secret_value(), tts.remote_timeout_s
    model, language = tts.remote_model, tts.remote_language
    voices = [voice.strip() for voice in tts.remote_voices.split(",") if voice.strip()]
    if not url:
        return []
    try:
        remote = Remote(url, key, timeout_s, "voice")
    except ValueError as error:
        raise ConfigError(f"AVATAR328_TTS__REMOTE_URL: {error}") from error
    return [RemoteTTS(remote, model, voices, language)]
