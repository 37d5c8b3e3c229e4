"""Augmented views: what each depends on, its geometry, its ranges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from trashnet.images import resize
from trashnet.params import Augment, load_params
from trashnet.views import make_view, view_generator, warp

SIZE = (24, 32)
SHA256 = f"{2**200:064x}"


def ranges(**changes: object) -> Augment:
    """Return settings that change nothing but what is named."""
    nothing = {"rotation": 0, "zoom": 0, "shear": 0, "horizontal_flip": False}
    still = nothing | {"brightness": [1.0, 1.0]} | changes
    return load_params().augment.model_copy(update=still)


@pytest.fixture(scope="module")
def image() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))


def test_without_ranges_a_view_is_the_plain_photo(image: Image.Image) -> None:
    view = make_view(image, SIZE, ranges(), view_generator(1, SHA256, 1))
    np.testing.assert_array_equal(view, resize(image, SIZE))


def test_a_view_is_of_seed_photo_and_number_alone(image: Image.Image) -> None:
    def made(seed: int, sha256: str, number: int) -> bytes:
        return make_view(
            image, SIZE, load_params().augment, view_generator(seed, sha256, number)
        ).tobytes()

    assert made(1, SHA256, 1) == made(1, SHA256, 1)
    others = {made(2, SHA256, 1), made(1, "ff" * 32, 1), made(1, SHA256, 2)}
    assert len(others | {made(1, SHA256, 1)}) == 4


def test_half_the_views_are_mirrored(image: Image.Image) -> None:
    plain = resize(image, SIZE)
    flipped = [
        np.array_equal(
            make_view(image, SIZE, ranges(horizontal_flip=True), view_generator(1, SHA256, number)),
            plain[:, ::-1],
        )
        for number in range(1, 101)
    ]
    assert 30 < sum(flipped) < 70


def test_brightness_scales_pixels(image: Image.Image) -> None:
    view = make_view(image, SIZE, ranges(brightness=[0.5, 0.5]), view_generator(1, SHA256, 1))
    np.testing.assert_allclose(view, resize(image, SIZE) * 0.5, atol=0.51)


def test_a_quarter_turn_turns_about_the_centre() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    quarter_turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    np.testing.assert_array_equal(warp(pixels, quarter_turn), np.rot90(pixels, k=1))


def test_what_a_warp_uncovers_is_the_mirror_image() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    twice_as_wide = warp(pixels, 2 * np.eye(2))[:, :, 0]
    assert twice_as_wide.min() > 0 or (pixels == 0).any()  # nothing black has been filled in
    left = warp(pixels, np.diag([2.0, 1.0]))
    np.testing.assert_array_equal(left[:, 0], warp(pixels[:, ::-1], np.diag([2.0, 1.0]))[:, -1])


@settings(max_examples=50, deadline=None)
@given(
    rotation=st.floats(0, 180),
    zoom=st.floats(0, 0.99),
    shear=st.floats(0, 80),
    low=st.floats(0, 2),
    more=st.floats(0, 2),
)
def test_any_ranges_give_pictures_of_the_same_shape(
    rotation: float, zoom: float, shear: float, low: float, more: float
) -> None:
    grey = Image.new("RGB", (40, 30), (100, 100, 100))
    drawn = ranges(
        rotation=rotation, zoom=zoom, shear=shear, brightness=[low, low + more],
        horizontal_flip=True,
    )  # fmt: skip
    view = make_view(grey, SIZE, drawn, view_generator(1, SHA256, 1))
    assert view.shape == (*SIZE, 3)
    assert view.dtype == np.uint8
    assert view.min() >= min(255, int(100 * low)) - 1
    assert view.max() <= min(255, 100 * (low + more) + 1)
