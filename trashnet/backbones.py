"""The backbones the pipeline knows: one entry each, and nothing of TensorFlow."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Backbone:
    """What differs between the backbones of Keras Applications.

    Attributes
    ----------
    rescales_itself : bool
        The Keras model takes pixels in [0, 255] and scales them inside.
        Otherwise it expects values in [-1, 1].
    runtime : {'litert', 'tensorflow'}
        What runs the frozen trunk fastest on a CPU. LiteRT's XNNPACK kernels
        are 1.7 to 3.5 times as fast on depthwise convolutions and no faster on
        ordinary ones, where its conversion is time lost
        (``benchmarks/trunk_speed.py``).
    """

    rescales_itself: bool
    runtime: Literal["litert", "tensorflow"]


BACKBONES = {
    "MobileNet": Backbone(rescales_itself=False, runtime="litert"),
    "MobileNetV2": Backbone(rescales_itself=False, runtime="litert"),
    "MobileNetV3Small": Backbone(rescales_itself=True, runtime="litert"),
    "MobileNetV3Large": Backbone(rescales_itself=True, runtime="litert"),
    "ResNet101V2": Backbone(rescales_itself=False, runtime="tensorflow"),
    "ResNet152V2": Backbone(rescales_itself=False, runtime="tensorflow"),
    "EfficientNetV2S": Backbone(rescales_itself=True, runtime="tensorflow"),
}
