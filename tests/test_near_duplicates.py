"""Grouping by perceptual hash agrees with comparing every pair the plain way."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trashnet.near_duplicates import group_near_duplicates

# Few bits to draw from make near-duplicates and chains of them frequent; few bits set anywhere
# make some that agree in one band alone.
some_bits = st.sets(st.integers(0, 63), max_size=4).map(lambda bits: sum(1 << bit for bit in bits))
hash_lists = st.lists(st.integers(0, 255) | some_bits | st.integers(0, 2**64 - 1), max_size=40)


def grouped_pair_by_pair(hashes: list[int], bits: int) -> list[int]:
    """Return the first member of each one's group, by comparing every pair until all is settled."""
    first = list(range(len(hashes)))
    for _ in hashes:
        for i, one in enumerate(hashes):
            for j, other in enumerate(hashes):
                if (one ^ other).bit_count() <= bits:
                    first[i] = first[j] = min(first[i], first[j])
    return first


def group(hashes: list[int], bits: int) -> list[int]:
    return list(group_near_duplicates(np.array(hashes, dtype=np.uint64), bits))


@given(hash_lists, st.integers(0, 6) | st.integers(0, 64))
def test_groups_are_those_of_comparing_pair_by_pair(hashes: list[int], bits: int) -> None:
    assert group(hashes, bits) == grouped_pair_by_pair(hashes, bits)


@pytest.mark.parametrize("bits", range(8))
def test_bits_may_differ_in_all_bands_but_one(bits: int) -> None:
    in_the_middle_of_each_band = [64 * number // (bits + 1) + 3 for number in range(bits + 1)]
    for spared in in_the_middle_of_each_band:
        other = sum(1 << bit for bit in in_the_middle_of_each_band if bit != spared)

        assert group([0, other], bits) == [0, 0]


def test_chain_is_one_group_though_its_ends_are_far_apart() -> None:
    assert group([0b000000, 0b111111, 0b000111], bits=3) == [0, 0, 0]


def test_one_bit_too_many_keeps_photos_apart() -> None:
    assert group([0b00000, 0b11111], bits=4) == [0, 1]


def test_highest_bit_counts() -> None:
    assert group([0, 2**63], bits=0) == [0, 1]


def test_no_photos_are_no_groups() -> None:
    assert group([], bits=4) == []


@pytest.mark.parametrize("bits", [4, 64])
def test_dataset_of_ordinary_size_takes_no_noticeable_time(bits: int) -> None:
    hashes = np.random.default_rng(1).integers(0, 2**64, 2527, dtype=np.uint64)

    started = time.process_time()
    group_near_duplicates(hashes, bits)

    assert time.process_time() - started < 2


def test_forty_times_as_many_photos_take_no_noticeable_time_either() -> None:
    hashes = np.random.default_rng(1).integers(0, 2**64, 100_000, dtype=np.uint64)

    started = time.process_time()
    group_near_duplicates(hashes, 4)

    assert time.process_time() - started < 5


def test_a_pair_counts_though_another_at_its_distance_is_joined_already() -> None:
    # In order 0, 1, 2, 3; at distance 2 the photos 0 and 2 are one group by then, 1 and 3 are not.
    assert group([0, 0x0F, 0xF0, 0xFF0F], bits=8) == [0, 0, 0, 0]
