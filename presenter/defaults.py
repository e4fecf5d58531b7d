"""What a recording is unless something else is asked for."""

from __future__ import annotations

from pathlib import Path

END_SILENCE_S = 8.0
TEXT = Path(__file__).parent / "text.txt"
