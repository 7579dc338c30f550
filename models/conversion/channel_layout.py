"""How the channels of a TFLite tensor are kept in an ONNX tensor.

onnxruntime is fast as long as a convolution network stays in its blocked channel layout (NCHWc:
channels in groups of 8 with AVX2, of 16 with AVX-512), which takes channel counts that are whole
groups and no operator but convolution, pooling, ReLU, addition and a few more. A network rewritten
for that has channels of padding and channels kept in two parts. One description covers both, and
the weights that write or read the tensor make up for it, so that it costs nothing when the network
runs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

UNUSED = -1


@dataclass(frozen=True)
class ChannelLayout:
    """Channel c of the TFLite tensor is the sum of its kept channels k, times factor[k].

    Its kept channels are those whose origin[k] is c. ``channels`` is the TFLite tensor's number of
    channels; ``origin`` and ``factor`` have one entry for each channel that is kept. A channel of
    origin UNUSED is padding, and always zero. A TFLite channel that is not the origin of an entry
    is zero everywhere.
    """

    channels: int
    origin: IntArray
    factor: FloatArray

    @classmethod
    def plain(cls, channels: int) -> ChannelLayout:
        """Every channel kept as it is."""
        return cls(channels, np.arange(channels), np.ones(channels, np.float32))

    @classmethod
    def padded(cls, channels: int, multiple: int) -> ChannelLayout:
        """Every channel as it is, then padding up to a multiple of ``multiple``."""
        padding = -channels % multiple
        return cls(
            channels,
            np.concatenate([np.arange(channels), np.full(padding, UNUSED)]),
            np.ones(channels + padding, np.float32),
        )

    @classmethod
    def mirrored(cls, channels: int) -> ChannelLayout:
        """Every channel as it is, then the negative of every channel."""
        half = np.full(channels, 0.5, np.float32)
        return cls(channels, np.tile(np.arange(channels), 2), np.concatenate([half, -half]))

    @property
    def kept(self) -> int:
        """Number of channels of the ONNX tensor."""
        return len(self.origin)

    @property
    def is_complete(self) -> bool:
        """Every channel is kept, so that a convolution can be made to write this layout."""
        return len(np.unique(self.origin[self.origin != UNUSED])) == self.channels

    @property
    def parts(self) -> IntArray:
        """For each kept channel, how many are kept of its origin."""
        parts: IntArray = np.count_nonzero(self.origin == self.origin[:, np.newaxis], axis=1)
        return parts

    @property
    def has_parts(self) -> bool:
        """Some channels are the sum of several that are kept."""
        return bool(np.any(self.parts[self.origin != UNUSED] > 1))

    @property
    def is_as_published(self) -> bool:
        """No channel is kept in parts or scaled: a place for ReLU and for a maximum."""
        return bool(np.all(self.factor == 1)) and not self.has_parts

    def same_as(self, other: ChannelLayout) -> bool:
        """Tell whether tensors of the two layouts can be added."""
        return (
            self.channels == other.channels
            and np.array_equal(self.origin, other.origin)
            and np.array_equal(self.factor, other.factor)
        )

    def without_factors(self) -> ChannelLayout:
        """Return the same channels in the same places, all with the factor 1."""
        return ChannelLayout(self.channels, self.origin, np.ones_like(self.factor))

    def extended(self, channels: int) -> ChannelLayout:
        """Return the layout of the tensor with zero channels added at the end.

        Padding is zero as well, so it serves as the first of them; nothing is kept for the rest.
        """
        padding = np.flatnonzero(self.origin == UNUSED)[: channels - self.channels]
        origin = self.origin.copy()
        origin[padding] = self.channels + np.arange(len(padding))
        return ChannelLayout(channels, origin, self.factor)

    def spread(self, values: FloatArray) -> FloatArray:
        """Give each kept channel the value (along axis 0) of its origin, and padding 0."""
        spread: FloatArray = values[np.maximum(self.origin, 0)]
        spread[self.origin == UNUSED] = 0
        return spread

    def read_by(self, weights: FloatArray) -> FloatArray:
        """Turn weights [output, input, ...] on the TFLite tensor into ones on the kept channels."""
        by_input = np.moveaxis(weights, 1, 0)
        factors = self.factor.reshape(-1, *[1] * (by_input.ndim - 1))
        by_kept_input: FloatArray = np.moveaxis(self.spread(by_input) * factors, 0, 1)
        return by_kept_input

    def written_by(self, weights: FloatArray) -> FloatArray:
        """Turn weights [output, ...] (or a bias [output]) into ones that write this layout."""
        if not self.is_complete:
            raise ValueError("a convolution cannot write this layout")
        factors = (self.factor * self.parts).reshape(-1, *[1] * (weights.ndim - 1))
        written: FloatArray = (self.spread(weights) / factors).astype(np.float32)
        return written
