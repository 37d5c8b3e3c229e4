"""Memory: layers' outputs are not kept longer than needed, nor are large photos held often."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

REPOSITORY = Path(__file__).parents[1]
PEAK = """
import sys
def peak():  # in bytes; getrusage's begins with that of the process that started this one
    with open("/proc/self/status") as file:
        return 1024 * int(file.read().partition("VmHWM:")[2].split()[0])
"""
CALL_AND_PRINT_MEMORY = """
import math
import keras, numpy as np
from trashnet.batch_norm import let_batch_norm_learn
from trashnet.networks import settle_random_weights
backbone = keras.applications.MobileNet(include_top=False, weights=None, input_shape=(128, 128, 3))
photos = np.zeros((64, 128, 128, 3), np.uint8)
before = peak()
eval(sys.argv[1])
values = sum(math.prod(layer.output.shape[1:]) for layer in backbone.layers)
print((peak() - before) / (64 * 4 * values))
"""


READ_AND_PRINT_MEMORY = """
from pathlib import Path
from trashnet.images import read_image
before = peak()
image = read_image(Path(sys.argv[1]))
print((peak() - before) / (image.width * image.height))
"""


def measure(program: str, argument: str) -> float:
    """Return the number that a program prints, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK + program, argument],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    return float(done.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak")
@pytest.mark.parametrize(
    "call",
    [
        # Kept until the end, ResNet101V2's outputs took 14 GB at 192 x 256 pixels.
        'settle_random_weights("MobileNet", backbone, photos)',
        # Kept until the end, those of MobileNetV2's last 64 layers took 12 GB at 336 x 448 pixels.
        "let_batch_norm_learn(backbone, photos)",
    ],
)
def test_outputs_are_given_back_as_soon_as_the_next_layer_has_them(call: str) -> None:
    share_of_all_outputs = measure(CALL_AND_PRINT_MEMORY, call)

    assert share_of_all_outputs < 0.5


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux for the peak")
def test_transparent_photo_is_held_twice_and_not_four_times(tmp_path: Path) -> None:
    """One of 295 kB took 1.4 GB: as it is, in four bands, white in four, and mixed."""
    photo = tmp_path / "transparent.png"
    Image.new("RGBA", (4000, 4000), (200, 30, 30, 90)).save(photo, compress_level=1)

    bytes_a_pixel = measure(READ_AND_PRINT_MEMORY, str(photo))

    assert bytes_a_pixel < 12
