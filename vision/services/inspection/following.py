"""What follows from an inspection: similar past faults, and a case for the part that failed."""

from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db import transaction

from cases.models import Case, FaultCategory
from cases.services.intake import Picture, case_create
from vision.engine.regions import MIN_SIDE, WHOLE, Region
from vision.models import Inspection
from vision.services.search import SearchResult, file_search

#: How much of a box's longer side is shown around it: the library's pictures show surroundings, too.
_AROUND = 0.2
#: The shorter side of what is searched, as a share of the longer one: networks see squares.
_NARROWEST = 0.6
_MATCHES = 6


@dataclass(frozen=True)
class SimilarFaults:
    """Past cases that look like the most suspicious part of a picture.

    `region` is what was searched; `category` the one that most of the similar pictures were confirmed as, and
    `share` how many of them, both None when no two agree.
    """

    result: SearchResult
    region: Region
    category: FaultCategory | None
    share: tuple[int, int] | None


def inspection_region(inspection: Inspection) -> Region:
    """The most suspicious box with some of its surroundings; the whole picture when no box stands out."""
    if not inspection.regions:
        return WHOLE
    width, height = inspection.file.width, inspection.file.height
    x, y, w, h = inspection.regions[0]["box"]
    least = max(MIN_SIDE, _NARROWEST * max(w, h) * (1 + 2 * _AROUND))
    left, right = _widened(x, w, max(w + 2 * _AROUND * max(w, h), least), width)
    top, bottom = _widened(y, h, max(h + 2 * _AROUND * max(w, h), least), height)
    return Region(left / width, top / height, (right - left) / width, (bottom - top) / height)


def _widened(start: int, length: int, wanted: float, room: int) -> tuple[int, int]:
    """From and to, `wanted` long around a stretch, moved back into 0 to `room`."""
    wanted = min(round(wanted), room)
    begin = min(max(round(start + length / 2 - wanted / 2), 0), room - wanted)
    return begin, begin + wanted


def inspection_similar(inspection: Inspection, *, top_k: int = _MATCHES) -> SimilarFaults:
    """Similar past faults for the most suspicious box; never the case that was opened from it.

    Raises ValidationError when the picture can't be read, StorageAway.
    """
    region = inspection_region(inspection)
    result = file_search(
        inspection.file, region, name=inspection.name or "this picture", top_k=top_k,
        exclude_case=inspection.case,
    )  # fmt: skip
    return SimilarFaults(result, region, *_agreed(result))


def _agreed(result: SearchResult) -> tuple[FaultCategory | None, tuple[int, int] | None]:
    named = [match.image.confirmed_category for match in result.matches]
    if not named:
        return None, None
    most = max(named, key=named.count)
    count = named.count(most)
    return (most, (count, len(named))) if count > max(1, len(named) // 2) else (None, None)


def inspection_case_open(inspection: Inspection, *, user=None) -> Case:
    """The case of an inspection: the one that was opened before, or a new one with its picture.

    Raises ValidationError when the picture can't be read any more, StorageAway.
    """
    with transaction.atomic():
        # Whoever comes second waits here, and finds the case of the first.
        row = (
            Inspection.objects.select_for_update(of=["self"], no_key=True)
            .select_related("case", "file", "version__inspector__part")
            .get(pk=inspection.pk)
        )
        if row.case is None:
            inspector = row.version.inspector
            row.case = case_create(
                pictures=[Picture(row.name or f"{row.file}.{row.file.extension}", _original(row))],
                user=user,
                title=f"{inspector}: {row.get_verdict_display().lower()} in inspection {row.pk}",
                kind=Case.Kind.INTERNAL,
                part=inspector.part,
                serial_number=row.serial_number,
                detection_point=f"Inspection {inspector}"[:120],
                description=_description(row),
                owner=user,
            )
            row.save(update_fields=["case"])
    inspection.case = row.case
    return row.case


def _original(inspection: Inspection) -> bytes:
    try:
        with inspection.file.original.open("rb") as original:
            return original.read()
    except FileNotFoundError as error:
        raise ValidationError(
            f"The picture {inspection.name or inspection.file} is missing: inspect the part again."
        ) from error


def _description(inspection: Inspection) -> str:
    words = [f"{inspection.get_verdict_display()} by {inspection.version}: score {inspection.score:.2f}"]
    if inspection.threshold is not None:
        words[0] += f", threshold {inspection.threshold:.2f}"
    count = len(inspection.regions)
    if count:
        x, y, w, h = inspection.regions[0]["box"]
        words.append(
            f"{count} suspicious {'regions' if count > 1 else 'region'}, the worst one {w} x {h} pixels at"
            f" {x}, {y}"
        )
    return ". ".join([*words, *(note.rstrip(".") for note in inspection.notes)]) + "."
