"""Tiles cover a length without gap or overlap of what counts."""

from itertools import pairwise

import pytest

from vision.engine.tiling import Span, tile_spans


def test_a_short_length_is_one_tile():
    assert tile_spans(192, 256, 64, 32) == [Span(0, 192, 0, 192)]


@pytest.mark.parametrize("length", range(288, 2048, 96))
def test_what_counts_covers_the_length_exactly_once(length):
    spans = tile_spans(length, 256, 64, 32)
    assert spans[0].first == 0
    assert spans[-1].last == length
    for one, next_one in pairwise(spans):
        assert one.last == next_one.first
        assert one.stop - next_one.start >= 64
    for span in spans:
        assert span.stop - span.start == 256
        assert span.start <= span.first < span.last <= span.stop
        assert not any(edge % 32 for edge in (span.start, span.first, span.last))


def test_inner_cuts_keep_away_from_the_edges_of_a_tile():
    for one, next_one in pairwise(tile_spans(1024, 256, 64, 32)):
        assert one.last <= one.stop - 32
        assert next_one.first >= next_one.start + 32


@pytest.mark.parametrize(("length", "tile", "overlap"), [(300, 256, 64), (512, 250, 64), (512, 64, 64)])
def test_impossible_tiles_are_refused(length, tile, overlap):
    with pytest.raises(ValueError, match="do not cover"):
        tile_spans(length, tile, overlap, 32)
