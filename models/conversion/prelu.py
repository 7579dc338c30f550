"""PReLU written with operators that onnxruntime keeps in its blocked layout.

PReLU(x) = x for x >= 0, a*x below, with a slope ``a`` for each channel. onnxruntime has no blocked
kernel for it: each of the landmark model's 69 would break the chain with two layout changes and a
slow loop. Two 1x1 depthwise convolutions, a ReLU and an addition do the same, and onnxruntime fuses
the last two into the convolutions:

    slope <= 1:   PReLU(x) = a*x + ReLU((1-a)*x)
    slope >  1:  -PReLU(x) =  -x + ReLU((1-a)*x)

The second one gives the negative, which the layers that read it make up for in their weights. The
landmarks change by rounding only, less than a thousandth of a pixel.

Where a tensor has half as many channels as a group, AVX-512's group of 16 has room for

    PReLU(x) = ReLU(x) - a*ReLU(-x)

The convolution before it writes x and -x, its own ReLU is all that is left to do, and the layers
that read the two parts have 1 and -a in their weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .channel_layout import ChannelLayout, FloatArray


@dataclass(frozen=True)
class PreluFactors:
    """PReLU = sum of linear*x and ReLU(bent*x), for each kept channel, in ``layout``."""

    linear: FloatArray
    bent: FloatArray
    layout: ChannelLayout


def prelu_factors(slopes: FloatArray, layout: ChannelLayout) -> PreluFactors:
    """Work out the two depthwise factors for slopes [channels] and the layout of the input x."""
    slope = layout.spread(slopes)
    negated = slope > 1
    one = np.float32(1)
    linear = np.where(negated, -one, slope) * layout.factor
    bent = (one - slope) * layout.factor
    sign = np.where(negated, -one, one)
    return PreluFactors(linear, bent, ChannelLayout(layout.channels, layout.origin, sign))


def layout_after_relu(slopes: FloatArray, mirrored: ChannelLayout) -> ChannelLayout:
    """Return the layout that makes PReLU of a mirrored tensor's ReLU, for slopes [channels]."""
    slope = mirrored.spread(slopes)
    factor = np.where(mirrored.factor > 0, np.float32(1), -slope)
    return ChannelLayout(mirrored.channels, mirrored.origin, factor)
