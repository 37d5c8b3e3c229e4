"""What runs a network: LiteRT, in floats and in integers, or TensorFlow where it sees a GPU."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from classifier_work import tiny_model
from networks_work import settled_backbone

from trashnet import networks
from trashnet.litert import convert, make_interpreter, quantize
from trashnet.networks import compile_inference, cut_network

REPOSITORY = Path(__file__).parents[1]


def trunk_with_pooled_output(random_weights: Path, pixels: np.ndarray) -> keras.Model:
    """Return MobileNet as `features` runs it."""
    network = cut_network("MobileNet", settled_backbone("MobileNet", random_weights, pixels), 20)
    pooled = keras.layers.GlobalAveragePooling2D()(network.tail(network.trunk.output))
    return keras.Model(network.trunk.input, [network.trunk.output, pooled])


def test_a_photos_features_do_not_depend_on_those_that_run_with_it(
    random_weights: Path, pixels: np.ndarray
) -> None:
    run = compile_inference(trunk_with_pooled_output(random_weights, pixels))

    together = run(pixels)

    alone = [run(photo[None]) for photo in pixels]
    for outputs, of_photos in zip(together, zip(*alone, strict=True), strict=True):
        np.testing.assert_array_equal(outputs, np.concatenate(of_photos))


def test_outputs_keep_their_order_in_litert(random_weights: Path, pixels: np.ndarray) -> None:
    outputs = compile_inference(trunk_with_pooled_output(random_weights, pixels))(pixels)

    assert [output.ndim for output in outputs] == [4, 2]


def test_grey_photos_leave_the_input_plain_pixels() -> None:
    photos = np.full((5, 4, 4, 3), 100, np.uint8)

    flat_buffer = quantize(convert(tiny_model()), photos)

    (source,) = make_interpreter(flat_buffer).get_input_details()
    assert source["quantization"] == (1.0, 0)
    assert (photos == 100).all()


def test_tensorflow_runs_the_network_where_it_sees_a_gpu(
    random_weights: Path, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is none here, so that TensorFlow's way runs on the processor."""
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [f"/{kind}:0"])
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: None)
    monkeypatch.setattr(networks, "make_runner", lambda _: pytest.fail("LiteRT knows no GPU"))
    model = trunk_with_pooled_output(random_weights, pixels)

    outputs = compile_inference(model)(pixels)

    for output, expected in zip(outputs, model(pixels.astype("float32")), strict=True):
        np.testing.assert_allclose(output, expected, rtol=1e-3, atol=1e-3)


def test_a_gpus_memory_is_taken_as_it_is_needed() -> None:
    """TensorFlow reads this when it opens the device, whichever part of the project comes first."""
    program = "import os, trashnet.images; print(os.environ['TF_FORCE_GPU_ALLOW_GROWTH'])"

    said = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, cwd=REPOSITORY
    ).stdout

    assert said == "true\n"
