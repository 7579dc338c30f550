"""PReLU written with operators that onnxruntime keeps in its blocked layout.

PReLU(x) = x for x >= 0, a*x below, with a slope ``a`` for each channel. onnxruntime has no blocked
kernel for it: each of the landmark model's 69 would break the chain with two layout changes and a
slow loop. Two 1x1 depthwise convolutions, a ReLU and an addition do the same,

    PReLU(x) = x + (1-a)*ReLU(-x)

and onnxruntime fuses the ReLU into the first convolution and the addition into the second. The
landmarks change by rounding only, less than a thousandth of a pixel.

Where a tensor has half as many channels as a group, AVX-512's group of 16 has room for

    PReLU(x) = ReLU(x) - a*ReLU(-x)

The convolution before it writes x and -x, its own ReLU is all that is left to do, and the layers
that read the two parts have 1 and -a in their weights.
"""

from __future__ import annotations

import numpy as np

from .channel_layout import ChannelLayout, FloatArray


def layout_after_relu(slopes: FloatArray, mirrored: ChannelLayout) -> ChannelLayout:
    """Return the layout that makes PReLU of a mirrored tensor's ReLU, for slopes [channels]."""
    slope = mirrored.spread(slopes)
    factor = np.where(mirrored.factor > 0, np.float32(1), -slope)
    return ChannelLayout(mirrored.channels, mirrored.origin, factor)
