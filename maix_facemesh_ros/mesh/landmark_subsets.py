"""Smaller sets of landmarks picked out of the 478, as MaixPy names them: 146, 68 and 5.

The three lists are those of MaixPy's face landmark application and documentation (MaixPy 4.12.5,
Apache License 2.0).
"""

from __future__ import annotations

from typing import Final

#: The landmark network's number of points; valid mesh indices are 0..477.
LANDMARKS: Final = 478
#: The first of them are the vertices of MediaPipe's mesh; the irises follow, five points each.
MESH_LANDMARKS: Final = 468
#: Centers of the irises (the person's right and left).
RIGHT_IRIS: Final = 468
LEFT_IRIS: Final = 473

# fmt: off
#: The landmarks that MediaPipe's blendshape network reads.
SUB_146: Final[tuple[int, ...]] = (
    0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66,
    67, 70, 78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144,
    145, 146, 148, 149, 150, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173,
    176, 178, 181, 185, 191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283, 284,
    285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314, 317, 318, 321, 323, 324, 332,
    334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386,
    387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471, 472, 473,
    474, 475, 476, 477,
)

#: The landmarks at the positions of the classic 68 (outline, eyebrows, nose, eyes, lips).
SUB_68: Final[tuple[int, ...]] = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
)
# fmt: on

#: The 68 landmarks for programs that expect dlib's, in dlib's order. `SUB_68` is MaixPy's choice
#: and stays; its ends of the outline and of the brows are not where dlib has them. Fitted to the
#: results of dlib's shape_predictor_68_face_landmarks for 167 photographed faces: mean distance
#: 4.6 % of that between the outer eye corners, where `SUB_68` has 5.1; at the ends of the outline
#: 6.5 (19.2) and of the brows 6.2 (11.5).
DLIB_68: Final[tuple[int, ...]] = (
    127,
    *SUB_68[1:16],
    356,
    70,
    *SUB_68[18:26],
    300,
    *SUB_68[27:],
)

#: Centers of the right and left iris, tip of the nose, right and left corner of the mouth (the
#: person's right and left).
SUB_5: Final[tuple[int, ...]] = (RIGHT_IRIS, LEFT_IRIS, 4, 61, 291)

#: The mesh indices for each number of landmarks one can ask for.
LANDMARK_SUBSETS: Final[dict[int, tuple[int, ...]]] = {
    LANDMARKS: tuple(range(LANDMARKS)),
    146: SUB_146,
    68: SUB_68,
    5: SUB_5,
}
