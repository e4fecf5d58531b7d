"""The part of a finished frame that a drawn patch touches, without the rest of the frame.

Axes: H W C picture (RGB, uint8).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recipe.paste import PastePlan, paste_patch
from services.avatars.template import TemplateVideo
from services.types import Patch, Place


def pasted_region(template: TemplateVideo, index: int, plan: PastePlan, patch_rgba_HWC: NDArray[np.uint8]) -> Patch:
    """Lay a patch over its template frame, there alone; the pixels are those of the whole frame's paste.

    Args:
        template: the filmed frames.
        index: of the frame.
        plan: where in the frame, from `recipe.paste.plan_paste`.
        patch_rgba_HWC: uint8 (H, W, 4), straight alpha.
    """
    region_HWC = template.region(index, plan.rows, plan.columns)
    pasted_HWC = paste_patch(region_HWC, patch_rgba_HWC, plan.within_region())
    return Patch(Place(plan.columns.start, plan.rows.start), pasted_HWC)
