"""Past cases found by words, where the backbone has one space for pictures and for text."""

from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock

import numpy as np
from django.conf import settings

from cases.services.stopwatch import Stopwatch
from vision.engine.backbones import WeightsError, get_backbone
from vision.engine.clip import MOST_CHARACTERS, TextEncoder
from vision.models import EmbeddingSpace
from vision.services.embedding import vectors_project
from vision.services.library import library_current
from vision.services.search import Match, SearchFilters, cases_nearest
from vision.services.spaces import space_active
from vision.services.weights import weights_of

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
    """Whether the network of the active space understands words. Costs one query."""
    space = space_active()
    return get_backbone(space.backbone if space else settings.BACKBONE).understands_text


def text_embed(text: str, space: EmbeddingSpace) -> np.ndarray:
    """The vector of words in a space: float32 (d,), unit length. Raises NoTextSide."""
    if not get_backbone(space.backbone).understands_text:
        raise NoTextSide(
            f"The backbone in use, {space.backbone}, has no text side: words can be searched for with a "
            "backbone of CLIP, such as clip_vit_b_32 (see docs/backbones.md)."
        )
    try:
        vector = _embed(_text_encoder(space.backbone, space.weights_sha256), text[:MOST_CHARACTERS])
    except WeightsError as error:
        raise NoTextSide(str(error)) from error
    return vectors_project(space, vector[None])[0]


def text_search(text: str, *, top_k: int = 10, filters: SearchFilters | None = None) -> TextSearchResult:
    """Past cases that look like what the words say, from the same library as for pictures.

    Raises NoTextSide when the active space does not understand words.
    """
    watch = Stopwatch()
    library = library_current()
    vector = text_embed(text, library.space)
    watch.lap("embed")
    neighbours, matches = cases_nearest(vector, library, top_k=top_k, filters=filters)
    watch.lap("search")
    return TextSearchResult(text, matches, neighbours.library_size, neighbours.watermark, watch.timings)


@lru_cache(maxsize=256)
def _embed(encoder: TextEncoder, text: str) -> np.ndarray:
    # The same words come again with every change of a filter.
    return encoder.encode([text])[0]


def _text_encoder(backbone: str, weights_sha256: str) -> TextEncoder:
    with _building:
        return _build_text_encoder(backbone, weights_sha256)


@lru_cache(maxsize=1)
def _build_text_encoder(backbone: str, weights_sha256: str) -> TextEncoder:
    # Words and pictures meet only in the space of one and the same file.
    return TextEncoder(backbone, weights_of(backbone, weights_sha256))
