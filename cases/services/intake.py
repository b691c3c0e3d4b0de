"""The one way in: every door (form, API, import, admin, demo) stores cases and pictures through here."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.base import ContentFile
from django.db import connection, transaction
from django.utils import timezone

from cases.models import Case, CaseImage, CaseTransition, ImageFile
from cases.services.stopwatch import Stopwatch
from cases.signals import images_added
from vision.engine.images import (
    ImageError,
    ImageInfo,
    ImageLimits,
    check_image,
    check_images,
    load_image,
    perceptual_hash,
)


@dataclass(frozen=True)
class Picture:
    """An uploaded picture before it was checked."""

    name: str
    data: bytes
    role: str = CaseImage.Role.CLOSE_UP


def image_limits() -> ImageLimits:
    """The limits of this installation, from its settings."""
    return ImageLimits(
        max_bytes=settings.MAX_IMAGE_BYTES,
        max_pixels=settings.MAX_IMAGE_PIXELS,
        max_files=CaseImage.MAX_PER_CASE,
    )


def pictures_check(pictures: Sequence[Picture]) -> list[ImageInfo]:
    """Check pictures before anything is stored.

    Raises ValidationError with one sentence per refused file, under the key "images".
    """
    try:
        return check_images([(picture.data, picture.name) for picture in pictures], image_limits())
    except ImageError as error:
        raise ValidationError({"images": str(error)}, code=error.code) from error


def picture_check(picture: Picture) -> ImageInfo:
    """The same for a single picture that belongs to no case. Raises ValidationError (key "images")."""
    try:
        return check_image(picture.data, picture.name, image_limits())
    except ImageError as error:
        raise ValidationError({"images": str(error)}, code=error.code) from error


def image_file_store(picture: Picture, info: ImageInfo) -> ImageFile:
    """Store the original once; the same bytes give the same row, whoever uploads them.

    An original that was lost or cut short is written again. Raises StorageAway.
    """
    return _row_store(_original_write(picture, info))


def _original_write(picture: Picture, info: ImageInfo) -> ImageFile:
    """The row of an original whose bytes are stored now; not saved yet when it is new."""
    existing = ImageFile.objects.filter(sha256=info.sha256).first()
    if existing:
        if not _is_whole(existing):
            existing.original.save(picture.name, ContentFile(picture.data), save=False)
        return existing
    image_file = ImageFile(
        sha256=info.sha256,
        extension=info.extension,
        mime=info.mime,
        width=info.width,
        height=info.height,
        size=len(picture.data),
        perceptual_hash=perceptual_hash(load_image(picture.data, fit=256)),
    )
    image_file.original.save(picture.name, ContentFile(picture.data), save=False)
    return image_file


def _row_store(image_file: ImageFile) -> ImageFile:
    if image_file.pk:
        return image_file
    ImageFile.objects.bulk_create([image_file], ignore_conflicts=True)
    return ImageFile.objects.get(sha256=image_file.sha256)


def _is_whole(image_file: ImageFile) -> bool:
    try:
        return image_file.original.size == image_file.size
    except OSError:
        return False


def case_number_next(year: int) -> str:
    """The next free number of a year, without gaps from other transactions' waiting."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO cases_casenumberseries (year, last) VALUES (%s, 1)"
            " ON CONFLICT (year) DO UPDATE SET last = cases_casenumberseries.last + 1 RETURNING last",
            [year],
        )
        (last,) = cursor.fetchone()
    return f"FD-{year}-{last:06d}"


def case_create(
    *,
    pictures: Sequence[Picture],
    user=None,
    status: str = Case.Status.NEW,
    bulk: bool = False,
    watch: Stopwatch | None = None,
    **fields,
) -> Case:
    """Create a case with its pictures, or nothing at all.

    `fields` are fields of Case. `bulk` marks imports, whose pictures wait behind those of people.
    `watch` gets the stages "validate" and "store".
    Raises ValidationError (keys: field names, "images"), and StorageAway when no picture can be stored.
    """
    watch = watch or Stopwatch()
    infos = pictures_check(pictures) if pictures else []
    watch.lap("validate")
    case = Case(status=status, created_by=user, **fields)
    case.full_clean(exclude=["number"])
    # Before the number is taken, for which all other new cases wait: the storage may be slow.
    originals = _originals_write(pictures, infos)
    with transaction.atomic():
        case.number = case_number_next(timezone.localtime(case.reported_at).year)
        case.save()
        CaseTransition.objects.create(case=case, to_status=status, made_by=user, note="Created")
        if pictures:
            _images_attach(case, originals, range(CaseImage.MAX_PER_CASE), bulk=bulk)
    watch.lap("store")
    return case


@transaction.atomic
def case_add_images(case: Case, pictures: Sequence[Picture], *, bulk: bool = False) -> list[CaseImage]:
    """Add views to a case, up to ten in all. A picture that the case shows already is left as it is.

    Raises ValidationError, and StorageAway when no picture can be stored.
    """
    Case.objects.select_for_update().get(pk=case.pk)
    infos = pictures_check(pictures)
    present = {image.file.sha256: image.position for image in case.images.select_related("file")}
    fresh = [pair for pair in zip(pictures, infos, strict=True) if pair[1].sha256 not in present]
    free = CaseImage.MAX_PER_CASE - len(present)
    if len({info.sha256 for _, info in fresh}) > free:
        raise ValidationError(
            {
                "images": f"{case.number} has {len(present)} pictures and takes {CaseImage.MAX_PER_CASE} at"
                f" most: add {free} or fewer, or open a new case."
            },
            code="too_many_files",
        )
    originals = _originals_write([picture for picture, _ in fresh], [info for _, info in fresh])
    positions = [place for place in range(CaseImage.MAX_PER_CASE) if place not in present.values()]
    return _images_attach(case, originals, positions, bulk=bulk)


def _originals_write(pictures, infos) -> list[tuple[Picture, ImageFile]]:
    """Each picture with its row, the same bytes once; rows of new ones are not saved yet."""
    pairs = {info.sha256: (picture, info) for picture, info in zip(pictures, infos, strict=True)}
    return [(picture, _original_write(picture, info)) for picture, info in pairs.values()]


def _images_attach(case, originals, positions, *, bulk):
    images = [
        CaseImage(
            case=case,
            file=_row_store(image_file),
            position=position,
            role=picture.role,
            name=picture.name[-200:],
        )
        for position, (picture, image_file) in zip(positions, originals, strict=False)
    ]
    CaseImage.objects.bulk_create(images)
    images_added.send(sender=Case, case=case, images=images, bulk=bulk)
    return images
