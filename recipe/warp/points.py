"""Numbers of the 478 landmarks of mediapipe's face mesh that the warp engine knows by name.

"Right" and "left" are the person's; the person's right lies on the left of the picture.
"""

from __future__ import annotations

from typing import Final

LANDMARKS: Final = 478
SKIN: Final = 468  # what comes after are the irises: centre and four points around it, right eye first
RIGHT_IRIS, LEFT_IRIS = 468, 473
# fmt: off
UPPER_INNER: Final = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)  # corner to corner
LOWER_INNER: Final = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)
UPPER_SECOND: Final = (183, 42, 41, 38, 12, 268, 271, 272, 407)  # the row next to the inner one
LOWER_SECOND: Final = (96, 89, 179, 86, 15, 316, 403, 319, 325)
UPPER_OUTER: Final = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291)
LOWER_OUTER: Final = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291)
UPPER_LIP: Final = (
    0, 11, 12, 13, 37, 38, 39, 40, 41, 42, 72, 73, 74, 80, 81, 82, 183, 184, 185, 191,
    267, 268, 269, 270, 271, 272, 302, 303, 304, 310, 311, 312, 407, 408, 409, 415,
)
LOWER_LIP: Final = (
    14, 15, 16, 17, 77, 84, 85, 86, 87, 88, 89, 90, 91, 95, 96, 146, 178, 179, 180, 181,
    307, 314, 315, 316, 317, 318, 319, 320, 321, 324, 325, 375, 402, 403, 404, 405,
)
ABOVE_LIPS: Final = (164, 167, 393, 165, 391)  # skin next to the outermost rows
BELOW_LIPS: Final = (18, 83, 313, 182, 406)
MOUTH_CORNERS: Final = (61, 76, 62, 78, 291, 306, 292, 308)
UPPER_LIDS: Final = ((33, 246, 161, 160, 159, 158, 157, 173, 133), (263, 466, 388, 387, 386, 385, 384, 398, 362))
LOWER_LIDS: Final = ((33, 7, 163, 144, 145, 153, 154, 155, 133), (263, 249, 390, 373, 374, 380, 381, 382, 362))
BROWS: Final = (
    70, 63, 105, 66, 107, 46, 53, 52, 65, 55, 300, 293, 334, 296, 336, 276, 283, 282, 295, 285,
)
BROWS_ABOVE: Final = (71, 68, 104, 69, 108, 151, 337, 299, 333, 298, 301, 9)  # forehead that follows half-way
OVAL: Final = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
    148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)
CHEEKS: Final = (50, 280, 205, 425)
# fmt: on
NOSE_TIP, UNDER_NOSE, CHIN = 1, 2, 152
EYE_CORNERS: Final = (33, 263)
UPPER_MIDDLE, LOWER_MIDDLE = 13, 14
