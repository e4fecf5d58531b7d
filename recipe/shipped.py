"""Networks that come with the product: where they lie, and whether they are the ones that were shipped."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from recipe.articulation.mouth_units import MOUTH_UNITS
from recipe.errors import UserError
from recipe.files import sha256

EARS_FILE = Path(__file__).resolve().parents[1] / "models" / "ears.onnx"


class ShippedNetworkError(UserError):
    """A network that belongs to the program is missing or is another one."""


@cache
def checked_ears(path: Path = EARS_FILE) -> dict[str, Any]:
    """The card of the ears, after their hash and their units were compared with it.

    Raises:
        ShippedNetworkError: a file is missing, or the two do not belong together.
    """
    card_path = path.with_suffix(".json")
    try:
        card: dict[str, Any] = json.loads(card_path.read_text(encoding="utf-8"))
        found = sha256(path)
    except (OSError, ValueError) as error:
        raise ShippedNetworkError(f"{card_path} or {path.name} cannot be read ({error}); install again") from error
    if found != card.get("sha256") or card.get("units") != list(MOUTH_UNITS):
        raise ShippedNetworkError(
            f"{path} is not the network that {card_path.name} describes; install again, or train both: "
            "python -m training.ears"
        )
    return card
