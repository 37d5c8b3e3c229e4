"""Which devices train: the GPUs of this machine where there are several, chosen by itself."""

import tensorflow as tf


def use_all_devices(smallest_batch: int, kind: str = "GPU") -> str:
    """Make what is built from now on train on all GPUs that get a photo of each batch; name them.

    With several, `tf.distribute.MirroredStrategy` keeps a copy of the model on
    each and gives each its part of every batch; gradients are averaged, so
    that a step of a head is the same but for the order of its sums. Batch norm
    that learns normalizes each part by itself.

    Parameters
    ----------
    smallest_batch : int
        Photos in the smallest batch. No more devices than that are used: some
        of TensorFlow's kernels fail without a photo, and batch norm's moments
        would be NaN.
    kind : str
        TensorFlow's word for the devices; tests use ``CPU``.
    """
    devices = [device.name for device in tf.config.list_logical_devices(kind)][:smallest_batch]
    if len(devices) > 1:
        tf.distribute.experimental_set_strategy(tf.distribute.MirroredStrategy(devices))
        return f"{len(devices)} {kind}s, each with its part of every batch"
    return f"one {kind}" if devices else "the CPU"
