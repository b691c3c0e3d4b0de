"""Past cases found by words, where the backbone has one space for pictures and for text."""

from dataclasses import dataclass, field
from functools import cache as memoize
from functools import lru_cache
from threading import Lock

import numpy as np
from django.conf import settings

from cases.services.stopwatch import Stopwatch
from vision.engine.backbones import WeightsError, get_backbone
from vision.engine.checkpoints import sha256_of
from vision.engine.clip import MOST_CHARACTERS, TextEncoder
from vision.engine.weight_files import find_weights
from vision.services.embedding import embedder
from vision.services.search import Match, SearchFilters, cases_nearest

_building = Lock()


class NoTextSide(Exception):
    """Words can't be searched for in the active space; the text says why, and what to do."""


@dataclass(frozen=True)
class TextSearchResult:
    """The cases whose pictures are nearest to the words, best first.

    The similarities of `matches` are those of words with pictures: low even for a perfect fit (0.2 to 0.35
    in published networks), and not to be compared with those between pictures. Only the order says something.
    """

    query: str
    matches: list[Match]
    library_size: int
    watermark: int
    timings: dict[str, float] = field(default_factory=dict)  # milliseconds by stage

    @property
    def query_time_ms(self) -> float:
        return round(sum(self.timings.values()), 1)


def text_understood() -> bool:
    """Whether the configured backbone understands words. Costs nothing."""
    return get_backbone(settings.BACKBONE).understands_text


def text_embed(text: str) -> np.ndarray:
    """The vector of words in the active space: float32 (d,), unit length. Raises NoTextSide."""
    if not text_understood():
        raise NoTextSide(
            f"The backbone in use, {settings.BACKBONE}, has no text side: words can be searched for with a "
            "backbone of CLIP, such as clip_vit_b_32 (see docs/backbones.md)."
        )
    try:
        return _embed(_text_encoder(), text[:MOST_CHARACTERS])
    except WeightsError as error:
        raise NoTextSide(str(error)) from error


def text_search(text: str, *, top_k: int = 10, filters: SearchFilters | None = None) -> TextSearchResult:
    """Past cases that look like what the words say, from the same library as for pictures.

    Raises NoTextSide when the active space does not understand words.
    """
    watch = Stopwatch()
    vector = text_embed(text)
    watch.lap("embed")
    neighbours, matches = cases_nearest(vector, top_k=top_k, filters=filters)
    watch.lap("search")
    return TextSearchResult(text, matches, neighbours.library_size, neighbours.watermark, watch.timings)


@lru_cache(maxsize=256)
def _embed(encoder: TextEncoder, text: str) -> np.ndarray:
    # The same words come again with every change of a filter.
    return encoder.encode([text])[0]


def _text_encoder() -> TextEncoder:
    with _building:
        return _build_text_encoder()


@memoize
def _build_text_encoder() -> TextEncoder:
    weights = find_weights(settings.BACKBONE, settings.FAULTDIAG_DATA)
    # Words and pictures meet only in the space of one and the same file.
    if sha256_of(weights) != embedder().space.weights_sha256:
        raise WeightsError(f"{weights} was replaced while the server runs: start it again.")
    return TextEncoder(settings.BACKBONE, weights)
