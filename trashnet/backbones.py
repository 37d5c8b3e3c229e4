"""The backbones the pipeline knows: one entry each, and nothing of TensorFlow."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Backbone:
    """What differs between the backbones of Keras Applications.

    Attributes
    ----------
    preprocessing : {'itself', 'tf', 'torch', 'caffe'}
        What RGB pixels in [0, 255] become before they reach the Keras model.
        With "itself" they stay as they are, because the model scales them
        inside: the ``preprocess_input`` of its module returns what it is given.
        The others are the modes by which that function calls
        ``keras.src.applications.imagenet_utils.preprocess_input``:

        - "tf": values in [-1, 1];
        - "torch": values in [0, 1], from which ImageNet's mean of each channel
          is taken and which are then divided by its standard deviation;
        - "caffe": the channels as BGR, ImageNet's mean taken from each, not scaled.

        EfficientNetB0 to B7 fit none of these: they scale inside by a layer more
        where Keras itself fills them with ImageNet weights than where we do.
    """

    preprocessing: Literal["itself", "tf", "torch", "caffe"]


BACKBONES = {
    "MobileNet": Backbone(preprocessing="tf"),
    "MobileNetV2": Backbone(preprocessing="tf"),
    "MobileNetV3Small": Backbone(preprocessing="itself"),
    "MobileNetV3Large": Backbone(preprocessing="itself"),
    "ResNet101V2": Backbone(preprocessing="tf"),
    "ResNet152V2": Backbone(preprocessing="tf"),
    "EfficientNetV2S": Backbone(preprocessing="itself"),
}
