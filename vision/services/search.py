"""Similar past cases, and what they say about a new picture."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
from django.conf import settings
from django.core.exceptions import ValidationError
from django.db.models import Prefetch
from PIL import Image

from cases.models import ActionTaken, Case, CaseImage, Customer, FaultCategory, ImageFile, Part, Site
from cases.services.intake import Picture, pictures_check
from cases.services.stopwatch import Stopwatch
from vision.engine.images import ImageError, load_image
from vision.engine.regions import WHOLE, Region, RegionError, region_crop
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
    seen: tuple[Image.Image, ...] = ()  # what was embedded for it: upright, cropped to the region

    @property
    def query_time_ms(self) -> float:
        return round(sum(self.timings.values()), 1)


def pictures_search(
    pictures: Sequence[Picture],
    *,
    region: Region = WHOLE,
    top_k: int = 10,
    filters: SearchFilters | None = None,
) -> SearchResult:
    """Similar cases and probable categories for pictures that are not stored.

    Several pictures are views of one thing and give one answer. With a `region`, which needs a single
    picture, nothing outside of it is seen. Raises ValidationError (keys "images", "region").
    """
    watch = Stopwatch()
    infos = pictures_check(pictures)
    _region_check(region, [(info.width, info.height) for info in infos])
    library = library_current()
    decoded = [_load_region(picture.data, region, library) for picture in pictures]
    watch.lap("validate")
    return _seen_search(decoded, library, watch, top_k=top_k, filters=filters)


def region_search(
    image: CaseImage, region: Region = WHOLE, *, top_k: int = 10, filters: SearchFilters | None = None
) -> SearchResult:
    """The same for a part of a stored picture. Its own case is never in the answer.

    Raises ValidationError (keys "images", "region") when the original can't be read or the region has too
    few pixels.
    """
    return file_search(
        image.file, region, name=str(image), top_k=top_k, filters=filters, exclude_case=image.case
    )


def file_search(
    file: ImageFile,
    region: Region = WHOLE,
    *,
    name: str,
    top_k: int = 10,
    filters: SearchFilters | None = None,
    exclude_case: Case | None = None,
) -> SearchResult:
    """The same for a stored original, whatever it belongs to; refusals call it `name`."""
    watch = Stopwatch()
    _region_check(region, [(file.width, file.height)])
    library = library_current()
    try:
        with file.original.open("rb") as original:
            decoded = _load_region(original.read(), region, library)
    except FileNotFoundError as error:
        raise ValidationError({"images": f"The original of {name} is missing: upload it again."}) from error
    except ImageError as error:
        raise ValidationError({"images": f"The original of {name} can't be read: {error}"}) from error
    watch.lap("load")
    return _seen_search([decoded], library, watch, top_k=top_k, filters=filters, exclude_case=exclude_case)


def _region_check(region: Region, sizes: Sequence[tuple[int, int]]) -> None:
    """Raise ValidationError when a region does not fit the pictures of these widths and heights."""
    if region.is_whole:
        return
    try:
        if len(sizes) > 1:
            raise RegionError(
                f"A region belongs to one picture, and {len(sizes)} were sent:"
                " send the one that it was drawn on.",
                "region_of_several",
            )
        region.box(*sizes[0])
    except RegionError as error:
        raise ValidationError({"region": str(error)}, code=error.code) from error


def _load_region(data: bytes, region: Region, library: Library) -> Image.Image:
    # A small region needs more of the picture's pixels than the whole of it does.
    side = embedder_for(library.space).spec.input_size
    return region_crop(load_image(data, fit=region.fit(side)), region)


def _seen_search(decoded, library, watch, **how) -> SearchResult:
    vectors = pictures_embed(decoded, library.space)
    watch.lap("embed")
    return replace(vectors_search(vectors, library, watch=watch, **how), seen=tuple(decoded))


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
    queries = views_queries(vectors)
    allowed = filters.image_ids() if filters else None
    exclude = None
    if exclude_case is not None:
        exclude = np.fromiter(exclude_case.images.values_list("pk", flat=True), dtype=np.int64)
    neighbours, of_each, matches = _distinct_cases(library, queries, top_k, exclude=exclude, allowed=allowed)
    if len(queries) < len(vectors):
        # Similar cases are those of all views together, but what is new may show in one of them only.
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
    neighbours, _, matches = _distinct_cases(library, query[None], top_k, exclude=None, allowed=allowed)
    return neighbours, matches


def views_queries(vectors: np.ndarray) -> np.ndarray:
    """The queries that find the similar cases of several views, of float32 (views, d): (1 or views, d).

    With FAULTDIAG_VIEWS "mean" it is one, the mean of their unit vectors brought to unit length again. With
    "best" each view is a query of its own, and the best similarity of an image counts.
    """
    vectors = np.asarray(vectors, dtype=np.float32)
    if settings.VIEWS == "best":
        return vectors
    mean = vectors.mean(axis=0, keepdims=True)
    return mean / max(float(np.linalg.norm(mean)), 1e-12)


def neighbours_merge(found: Sequence[Neighbours], depth: int) -> Neighbours:
    """The nearest `depth` images of all the answers, each once and with its best similarity."""
    if len(found) == 1:
        return found[0]
    # Exact: an image of the nearest `depth` is among them for the query that it is nearest to, too.
    ids = np.concatenate([each.image_ids for each in found])
    similarities = np.concatenate([each.similarities for each in found])
    order = np.lexsort((ids, -similarities))
    _, first = np.unique(ids[order], return_index=True)
    order = order[np.sort(first)][:depth]
    # Changes may come in between two of the searches: only up to the first does the answer know all.
    oldest = min(found, key=lambda each: each.watermark)
    return Neighbours(ids[order], similarities[order], oldest.watermark, oldest.library_size)


def _distinct_cases(
    library: Library, queries, top_k, *, exclude, allowed
) -> tuple[Neighbours, list[Neighbours], list[Match]]:
    """Search deeper until `top_k` different cases are found or the library ends.

    Returns the neighbours of all queries together, those of each, and the cases.
    """
    for query in queries:
        search_sample(library, query)
    depth = max(4 * top_k, settings.NEIGHBOURS)
    while True:
        of_each = [library.search(query, depth, exclude=exclude, allowed=allowed) for query in queries]
        neighbours = neighbours_merge(of_each, depth)
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
            return neighbours, of_each, matches
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
