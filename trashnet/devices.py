"""Which devices train: all GPUs of this machine where there are several, chosen by itself."""

import tensorflow as tf


def use_all_devices(kind: str = "GPU") -> str:
    """Make what is built from now on train on all GPUs, and say what that is.

    With several, `tf.distribute.MirroredStrategy` keeps a copy of the model on
    each and gives each its part of every batch; gradients are summed, so that
    a step is the same but for the order of its sums.

    Parameters
    ----------
    kind : str
        TensorFlow's word for the devices; tests use ``CPU``.
    """
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    if len(devices) > 1:
        tf.distribute.experimental_set_strategy(tf.distribute.MirroredStrategy(devices))
        return f"{len(devices)} {kind}s, each with its part of every batch"
    return f"one {kind}" if devices else "the CPU"
