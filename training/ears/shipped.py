"""The shipped ears as a network that can be trained, read back from the graph that is served, and what comes of it."""

from __future__ import annotations

from pathlib import Path

from models.ears import Ears, EarsConfig
from recipe.shipped import EARS_FILE, ShippedNetworkError, checked_ears
from training.ears.stage import new_ears
from training.stored_weights import StoredWeightsError, read_weights

_FOLDED = ("encoder.silence",)  # the ears never answer with it


def shipped_ears(path: Path = EARS_FILE) -> Ears:
    """The ears with the weights of their graph; those that it stores in eight bits are the rounded ones.

    Raises:
        ShippedNetworkError: the graph is missing, another one, or does not hold them all.
    """
    card = checked_ears(path)
    ears = new_ears(EarsConfig.from_dict(card["config"]) if "config" in card else None)
    try:
        ears.load_state_dict(read_weights(path, ears, "ears.", _FOLDED))
    except StoredWeightsError as error:
        raise ShippedNetworkError(f"{error}; install again") from error
    return ears.eval()


def averaged(one: Ears, other: Ears) -> Ears:
    """The mean of the weights of two that one training came by.

    Of where it set out from and what it came to: what was learnt stays, and most of what was forgotten comes back.
    Source: M. Wortsman et al., "Robust fine-tuning of zero-shot models", 2022. Of two moments near its end: both are
    somewhat beside the best place between them. Source: P. Izmailov et al., "Averaging weights leads to wider optima
    and better generalization", 2018.
    """
    there, mean = other.state_dict(), new_ears(one.config)
    mean.load_state_dict({name: (weight + there[name]) / 2 for name, weight in one.state_dict().items()})
    return mean.eval()
