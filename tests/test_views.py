"""Augmented views: what each depends on, its geometry, its ranges."""

from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from trashnet.params import Augment, load_params
from trashnet.views import INDEX, iterate_views, list_shards, make_view, view_generator, warp

SIZE = (24, 32)
SHA256 = f"{2**200:064x}"


def ranges(**changes: object) -> Augment:
    """Return settings that change nothing but what is named."""
    unmoved = {"rotation": 0, "zoom": 0, "shear": 0, "shift": 0}
    unflipped = {"horizontal_flip": False, "vertical_flip": False}
    same_tone = {"brightness": [1.0, 1.0], "contrast": [1.0, 1.0], "color": 0}
    still = unmoved | unflipped | same_tone | changes
    return load_params().augment.model_copy(update=still)


def drawing(
    rotation: float = 0, shear: float = 0, zoom: tuple[float, float] = (1, 1), flip: bool = False
) -> Mock:
    """Return a generator that draws these, zoom as (y, x), and leaves place and tone."""
    random = Mock(spec=np.random.Generator)
    random.uniform.side_effect = [rotation, shear, np.array(zoom), np.zeros(2), 1, 1, np.ones(3)]
    random.random.return_value = 0.0 if flip else 1.0
    return random


def as_image_data_generator(
    pixels: np.ndarray, rotation: float, shear: float, zoom: tuple[float, float]
) -> np.ndarray:
    """Warp a square picture by the matrices of Keras's `apply_affine_transform`.

    Keras builds them for (x, y) and swaps both axes before SciPy applies them to (y, x).
    """
    turn, skew = np.deg2rad([rotation, shear])
    zoom_y, zoom_x = zoom
    matrix = (
        np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        @ np.array([[1, -np.sin(skew)], [0, np.cos(skew)]])
        @ np.diag([zoom_x, zoom_y])
    )[::-1, ::-1]
    centre = np.array(pixels.shape[:2]) / 2 - 0.5
    warped: np.ndarray = np.stack(
        [
            ndimage.affine_transform(
                pixels[:, :, channel].astype(float),
                matrix,
                centre - matrix @ centre,
                mode="reflect",
            )
            for channel in range(3)
        ],
        axis=-1,
    )
    return warped


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def smooth() -> np.ndarray:
    """Return a square picture without edges: two ways to resample it hardly differ."""
    soft = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=(64, 64, 3)), (6, 6, 0))
    scaled: np.ndarray = np.interp(soft, (soft.min(), soft.max()), (20, 235)).astype(np.uint8)
    return scaled


def test_without_ranges_a_view_is_the_plain_photo(noise: np.ndarray) -> None:
    view = make_view(noise, ranges(), view_generator(1, SHA256, 1))
    np.testing.assert_array_equal(view, noise)


def test_a_view_is_of_seed_photo_and_number_alone(noise: np.ndarray) -> None:
    def made(seed: int, sha256: str, number: int) -> bytes:
        return make_view(
            noise, load_params().augment, view_generator(seed, sha256, number)
        ).tobytes()

    assert made(1, SHA256, 1) == made(1, SHA256, 1)
    others = {made(2, SHA256, 1), made(1, "ff" * 32, 1), made(1, SHA256, 2)}
    assert len(others | {made(1, SHA256, 1)}) == 4


@pytest.mark.parametrize(("flip", "axis"), [("horizontal_flip", 1), ("vertical_flip", 0)])
def test_half_the_views_are_mirrored(flip: str, axis: int, noise: np.ndarray) -> None:
    flipped = [
        np.array_equal(
            make_view(noise, ranges(**{flip: True}), view_generator(1, SHA256, number)),
            np.flip(noise, axis),
        )
        for number in range(1, 101)
    ]
    assert 30 < sum(flipped) < 70


def test_shift_moves_by_shares_of_width_and_height_and_mirrors_what_it_uncovers() -> None:
    picture = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    random = Mock(spec=np.random.Generator)
    moved = np.array([0.1, -0.2])
    random.uniform.side_effect = [0, 0, np.ones(2), moved, 1, 1, np.ones(3)]

    view = make_view(picture, ranges(), random)

    np.testing.assert_array_equal(view[4:, :-3], picture[:-4, 3:])
    np.testing.assert_array_equal(view[:4, :-3], picture[3::-1, 3:])


def test_shifts_stay_in_their_range() -> None:
    """A dot moves at most a quarter of each side."""
    dot = np.zeros((40, 80, 3), np.uint8)
    dot[20, 40] = 255
    places = [
        np.unravel_index(
            make_view(dot, ranges(shift=0.25), view_generator(1, SHA256, number))[..., 0].argmax(),
            (40, 80),
        )
        for number in range(1, 60)
    ]
    down, right = np.abs(np.array(places) - (20, 40)).max(axis=0)
    assert 8 <= down <= 10
    assert 16 <= right <= 20


@pytest.mark.parametrize(
    ("changes", "right", "down", "lowest", "highest"),
    [
        ({"rotation": 30}, 16, 0, (13.9, -8), (16, 8)),
        ({"shear": 30}, 0, 16, (-9.2, 16), (9.2, 18.5)),
        ({"zoom": 0.5}, 16, 0, (10.7, 0), (32, 0)),
        ({"zoom": 0.5}, 0, 16, (0, 10.7), (0, 32)),
    ],
    ids=["rotation", "shear", "zoom of the width", "zoom of the height"],
)
def test_a_mark_goes_as_far_as_the_range_allows(
    changes: dict[str, float],
    right: int,
    down: int,
    lowest: tuple[float, float],
    highest: tuple[float, float],
) -> None:
    """A mark 16 pixels from the centre: by 30 degrees it turns 8 pixels, and slides 9.2."""
    picture = np.zeros((80, 80, 3), np.uint8)
    picture[down + 39 : down + 41, right + 39 : right + 41] = 255
    places = []
    for number in range(1, 200):
        view = make_view(picture, ranges(**changes), view_generator(1, SHA256, number))
        y, x = ndimage.center_of_mass(view[..., 0].astype(float))
        places.append((x - 39.5, y - 39.5))

    assert np.min(places, axis=0) == pytest.approx(lowest, abs=1)
    assert np.max(places, axis=0) == pytest.approx(highest, abs=1)


def test_contrast_spreads_levels_about_their_mean(noise: np.ndarray) -> None:
    soft = (noise // 2 + 64).astype(np.uint8)
    view = make_view(soft, ranges(contrast=[0.5, 0.5]), view_generator(1, SHA256, 1))
    np.testing.assert_allclose(view, soft.mean() + (soft - soft.mean()) * 0.5, atol=0.5 + 1e-6)


def test_color_scales_each_channel_by_its_own_factor() -> None:
    grey = np.full((*SIZE, 3), 100, np.uint8)
    views = [
        make_view(grey, ranges(color=0.3), view_generator(1, SHA256, number))[0, 0]
        for number in range(1, 60)
    ]
    assert np.min(views) >= 70
    assert np.max(views) <= 130
    assert np.ptp(views, axis=1).max() > 30


def test_brightness_scales_pixels_and_rounds(noise: np.ndarray) -> None:
    view = make_view(noise, ranges(brightness=[0.7, 0.7]), view_generator(1, SHA256, 1))
    np.testing.assert_allclose(view, noise * 0.7, atol=0.5 + 1e-9)


def test_brightness_stops_at_white(noise: np.ndarray) -> None:
    view = make_view(noise, ranges(brightness=[2.0, 2.0]), view_generator(1, SHA256, 1))
    np.testing.assert_array_equal(view, np.minimum(noise.astype(int) * 2, 255))


def test_a_rotation_by_90_turns_counter_clockwise(smooth: np.ndarray) -> None:
    view = make_view(smooth, ranges(), drawing(rotation=90))
    np.testing.assert_allclose(view, np.rot90(smooth), atol=1)


@pytest.mark.parametrize(
    ("rotation", "shear", "zoom"),
    [(17, 0, (1, 1)), (0, 25, (1, 1)), (0, 0, (0.8, 1.2)), (-15, 20, (0.9, 1.15))],
)
@pytest.mark.parametrize("flip", [False, True])
def test_a_view_is_the_map_of_image_data_generator(
    smooth: np.ndarray, rotation: float, shear: float, zoom: tuple[float, float], flip: bool
) -> None:
    expected = as_image_data_generator(smooth, rotation, shear, zoom)
    view = make_view(smooth, ranges(horizontal_flip=True), drawing(rotation, shear, zoom, flip))
    np.testing.assert_allclose(view, expected[:, ::-1] if flip else expected, atol=3)


def test_what_a_warp_uncovers_is_the_mirror_image() -> None:
    wide = np.random.default_rng(0).integers(0, 256, (8, 20, 3), np.uint8)
    mirrored_to_square = np.pad(wide, ((6, 6), (0, 0), (0, 0)), mode="symmetric")
    quarter_turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    turned = warp(wide, quarter_turn, np.zeros(2))
    np.testing.assert_array_equal(turned, np.rot90(mirrored_to_square)[6:14])


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
    grey = np.full((*SIZE, 3), 100, np.uint8)
    drawn = ranges(
        rotation=rotation, zoom=zoom, shear=shear, brightness=[low, low + more],
        horizontal_flip=True,
    )  # fmt: skip
    view = make_view(grey, drawn, view_generator(1, SHA256, 1))
    assert view.shape == grey.shape
    assert view.dtype == np.uint8
    assert view.min() >= min(255, int(100 * low)) - 1
    assert view.max() <= min(255, 100 * (low + more) + 1)


def test_shards_come_in_the_indexs_order_whatever_their_names(tmp_path: Path) -> None:
    rows = ["path,shard,row"]
    for path, shard in [("a.jpg", "views-99999.npy"), ("b.jpg", "views-100000.npy")]:
        np.save(tmp_path / shard, np.zeros((1, 1, *SIZE, 3), np.uint8))
        rows.append(f"{path},{shard},0")
    (tmp_path / INDEX).write_text("\n".join(rows))
    assert [paths for paths, _ in iterate_views(tmp_path)] == [["a.jpg"], ["b.jpg"]]


def test_shards_start_where_the_one_before_ends(tmp_path: Path) -> None:
    rows = [
        "path,shard,row",
        "a.jpg,views-99999.npy,0",
        "b.jpg,views-99999.npy,1",
        "c.jpg,views-100000.npy,0",
    ]
    (tmp_path / INDEX).write_text("\n".join(rows))

    assert [shard.start for shard in list_shards(tmp_path)] == [0, 2]


def test_brightness_is_drawn_from_all_of_its_range() -> None:
    grey = np.full((*SIZE, 3), 100, np.uint8)

    views = [
        make_view(grey, ranges(brightness=[0.5, 1.5]), view_generator(1, SHA256, number))[0, 0, 0]
        for number in range(1, 60)
    ]

    assert 50 <= min(views) < 60
    assert 140 < max(views) <= 150


def test_contrast_is_drawn_from_all_of_its_range(noise: np.ndarray) -> None:
    soft = (noise // 2 + 64).astype(np.uint8)

    spreads = [
        make_view(soft, ranges(contrast=[0.5, 1.5]), view_generator(1, SHA256, number)).std()
        / soft.std()
        for number in range(1, 60)
    ]

    assert 0.49 < min(spreads) < 0.6
    assert 1.4 < max(spreads) < 1.51
