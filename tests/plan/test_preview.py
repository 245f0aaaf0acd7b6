"""What is asked of a backend for a preview."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagegen.plan.preview import LONGEST_SIDE, scale_size

SIDE = st.integers(16, 8192)


@pytest.mark.parametrize(
    ("size", "preview"),
    [
        ((1024, 1024), (512, 512)),
        ((768, 1024), (384, 512)),
        ((1920, 1080), (512, 256)),
        ((1344, 768), (512, 320)),
        ((64, 4096), (64, 512)),
        ((512, 512), (512, 512)),
        ((500, 30), (500, 30)),
    ],
)
def test_a_preview_keeps_the_proportions(size: tuple[int, int], preview: tuple[int, int]) -> None:
    assert scale_size(*size) == preview


@given(SIDE, SIDE)
def test_a_preview_is_no_larger_than_its_image_in_all_and_takes_sizes_that_models_take(width: int, height: int) -> None:
    found = scale_size(width, height)
    assert max(found) == min(max(width, height), LONGEST_SIDE)
    assert found == (width, height) or all(side % 64 == 0 for side in found)
    assert scale_size(height, width) == found[::-1]
