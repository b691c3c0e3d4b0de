"""Similar past cases, and what they say about a new picture."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

import numpy as np
from django.conf import settings
from django.db.models import Prefetch

from cases.models import ActionTaken, Case, CaseImage, Customer, FaultCategory, Part, Site
from cases.services.intake import Picture, pictures_check
from cases.services.stopwatch import Stopwatch
from vision.engine.images import load_image
from vision.services.classification import Classification, views_classify
from vision.services.embedding import embedder_for, pictures_embed
from vision.services.library import Library, Neighbours, library_current
from vision.services.recall_audit import search_sample


@dataclass(frozen=True)
class SearchFilters:
    """Narrow the library before the search: every answer fits, and none that fits is lost."""

    category: FaultCategory | None = None
    part: Part | None = None
    customer: Customer | None = None
    site: Site | None = None
    reported_after: date | None = None
    reported_before: date | None = None

    def image_ids(self) -> np.ndarray | None:
        """Ids of the labelled images that fit, int64; None when nothing is filtered."""
        lookups = {
            "confirmed_category__in": self.category and self.category.descendants(include_self=True),
            "case__part": self.part,
            "case__customer": self.customer,
            "case__site": self.site,
            "case__reported_at__date__gte": self.reported_after,
            "case__reported_at__date__lte": self.reported_before,
        }
        lookups = {name: value for name, value in lookups.items() if value is not None}
        if not lookups:
            return None
        ids = CaseImage.objects.labelled().filter(**lookups).values_list("pk", flat=True)
        return np.fromiter(ids, dtype=np.int64)


@dataclass(frozen=True)
class Match:
    """A past case that looks alike, by its most similar image."""

    rank: int
    similarity: float
    image: CaseImage
    case: Case


@dataclass(frozen=True)
class SearchResult:
    """Similar cases, what they say about the category, and what the answer rests on."""

    matches: list[Match]
    classification: Classification
    library_size: int
    watermark: int
    timings: dict[str, float] = field(default_factory=dict)  # milliseconds by stage

    @property
    def query_time_ms(self) -> float:
        return round(sum(self.timings.values()), 1)


def pictures_search(
    pictures: Sequence[Picture], *, top_k: int = 10, filters: SearchFilters | None = None
) -> SearchResult:
    """Similar cases and probable categories for pictures that are not stored.

    Several pictures are views of one thing and give one answer. Raises ValidationError for bad pictures.
    """
    watch = Stopwatch()
    pictures_check(pictures)
    library = library_current()
    side = embedder_for(library.space).spec.input_size
    decoded = [load_image(picture.data, fit=side) for picture in pictures]
    watch.lap("validate")
    vectors = pictures_embed(decoded, library.space)
    watch.lap("embed")
    return vectors_search(vectors, library, top_k=top_k, filters=filters, watch=watch)


def vectors_search(
    vectors: np.ndarray,
    library: Library,
    *,
    top_k: int,
    filters: SearchFilters | None = None,
    exclude_case: Case | None = None,
    watch: Stopwatch | None = None,
) -> SearchResult:
    """The same for float32 (views, d) vectors of the library's space.

    `exclude_case` keeps a case out of its own answer.
    """
    watch = watch or Stopwatch()
    query = views_join(vectors)
    allowed = filters.image_ids() if filters else None
    exclude = None
    if exclude_case is not None:
        exclude = np.fromiter(exclude_case.images.values_list("pk", flat=True), dtype=np.int64)
    neighbours, matches = _distinct_cases(library, query, top_k, exclude=exclude, allowed=allowed)
    # Similar cases are those of all views together, but what is new may show in one of them only.
    of_each = [neighbours]
    if len(vectors) > 1:
        of_each = [
            library.search(view, settings.NEIGHBOURS, exclude=exclude, allowed=allowed) for view in vectors
        ]
    watch.lap("search")
    classification = views_classify(library, vectors, of_each)
    watch.lap("classify")
    return SearchResult(
        matches=matches,
        classification=classification,
        library_size=neighbours.library_size,
        watermark=neighbours.watermark,
        timings=watch.timings,
    )


def cases_nearest(
    query: np.ndarray, library: Library, *, top_k: int, filters: SearchFilters | None = None
) -> tuple[Neighbours, list[Match]]:
    """The cases with the pictures nearest to a float32 (d,) unit vector of the library's space.

    With no opinion on the category.
    """
    allowed = filters.image_ids() if filters else None
    return _distinct_cases(library, query, top_k, exclude=None, allowed=allowed)


def views_join(vectors: np.ndarray) -> np.ndarray:
    """One query from several views: the mean of their unit vectors, float32 (d,), unit length again."""
    mean = np.asarray(vectors, dtype=np.float32).mean(axis=0)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)


def _distinct_cases(library: Library, query, top_k, *, exclude, allowed) -> tuple[Neighbours, list[Match]]:
    """Search deeper until `top_k` different cases are found or the library ends."""
    search_sample(library, query)
    depth = max(4 * top_k, settings.NEIGHBOURS)
    while True:
        neighbours = library.search(query, depth, exclude=exclude, allowed=allowed)
        images = images_for_matches(neighbours.image_ids.tolist())
        matches, seen = [], set()
        for image_id, similarity in zip(
            neighbours.image_ids.tolist(), neighbours.similarities.tolist(), strict=True
        ):
            image = images.get(image_id)
            if image is None or image.case_id in seen or len(matches) == top_k:
                continue
            seen.add(image.case_id)
            matches.append(Match(len(matches) + 1, round(similarity, 4), image, image.case))
        if len(matches) == top_k or len(neighbours.image_ids) < depth:
            return neighbours, matches
        depth *= 4


def images_for_matches(image_ids: Sequence[int]) -> dict[int, CaseImage]:
    """Images by id with all that a list of similar cases shows, in four queries."""
    actions = ActionTaken.objects.select_related("action")
    return (
        CaseImage.objects.select_related(
            "file", "confirmed_category", "case__part", "case__customer", "case__resolution"
        )
        .prefetch_related(Prefetch("case__resolution__actions_taken", queryset=actions))
        .in_bulk(list(image_ids))
    )
