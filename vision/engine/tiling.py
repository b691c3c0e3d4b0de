"""How a picture is cut into overlapping tiles whose maps join without a seam."""

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Span:
    """One tile along one axis, in pixels: it covers `start` to `stop`, its map counts from `first` to `last`.

    The parts that count touch and never overlap; all four are multiples of the step.
    """

    start: int
    stop: int
    first: int
    last: int


def tile_spans(length: int, tile: int, overlap: int, step: int) -> list[Span]:
    """Cover `length` pixels by the fewest tiles of at most `tile`, neighbours sharing at least `overlap`.

    `length` and `tile` are multiples of `step`. Near its edge a tile's map knows only one side, so of what
    two tiles share each gives the half that is further from its edge. Raises ValueError for sizes that are
    no multiples, or a tile that is no longer than the overlap.
    """
    if length % step or tile % step or not 0 <= overlap < tile:
        raise ValueError(f"Tiles of {tile} with {overlap} shared do not cover {length} in steps of {step}.")
    if length <= tile:
        return [Span(0, length, 0, length)]
    count = -(-(length - overlap) // (tile - overlap))
    starts = [(length - tile) // step * place // (count - 1) * step for place in range(count)]
    cuts = [(before + tile + after) // 2 // step * step for before, after in pairwise(starts)]
    edges = [0, *cuts, length]
    return [Span(start, start + tile, edges[i], edges[i + 1]) for i, start in enumerate(starts)]
