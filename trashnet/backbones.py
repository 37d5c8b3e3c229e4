"""The backbones the pipeline knows: one entry each, and nothing of TensorFlow."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Backbone:
    """What differs between the backbones of Keras Applications.

    Attributes
    ----------
    rescales_itself : bool
        The Keras model takes pixels in [0, 255] and scales them inside.
        Otherwise it expects values in [-1, 1].
    """

    rescales_itself: bool


BACKBONES = {
    "MobileNet": Backbone(rescales_itself=False),
    "MobileNetV2": Backbone(rescales_itself=False),
    "MobileNetV3Small": Backbone(rescales_itself=True),
    "MobileNetV3Large": Backbone(rescales_itself=True),
    "ResNet101V2": Backbone(rescales_itself=False),
    "ResNet152V2": Backbone(rescales_itself=False),
    "EfficientNetV2S": Backbone(rescales_itself=True),
}
