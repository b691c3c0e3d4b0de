"""What an inspection was compared with: crops of its regions, and of the good patches nearest to them."""

from cases.models import ImageFile
from vision.models import Inspection
from vision.services.inspection.drawings import box_crop, webp
from vision.services.inspection.good_pictures import picture_load

#: Around a region less is shown than around a patch, which is much smaller.
_AROUND_REGION = 1.6


class NoEvidence(LookupError):
    """An inspection has no such region or patch, or the good picture is no longer there."""


def region_patches(inspection: Inspection, number: int) -> list[dict]:
    """The good patches nearest to region `number` (from 1); 0 is the most suspicious patch of all."""
    if number == 0:
        return inspection.nearest
    return _region(inspection, number)["nearest"]


def region_picture(inspection: Inspection, number: int) -> bytes:
    """Region `number` (from 1) with some of its surroundings, as WebP.

    Raises NoEvidence, GoodPictureError, StorageAway.
    """
    box = _region(inspection, number)["box"]
    return webp(box_crop(picture_load(inspection.file), box, around=_AROUND_REGION))


def patch_picture(inspection: Inspection, number: int, place: int) -> bytes:
    """The good patch at `place` (from 0) among those nearest to region `number`, as WebP.

    As much is shown around it as around the region, so that both can be compared. Raises NoEvidence,
    GoodPictureError, StorageAway.
    """
    patches = region_patches(inspection, number)
    if place >= len(patches):
        raise NoEvidence(f"Region {number} of inspection {inspection.pk} has no patch {place}.")
    patch = patches[place]
    file = ImageFile.objects.filter(sha256=patch["sha256"]).first()
    if file is None:
        raise NoEvidence(f"The good picture {patch['sha256'][:12]} is no longer there.")
    around = 5.0
    if number:
        shown = max(_region(inspection, number)["box"][2:]) * _AROUND_REGION
        around = max(around, min(shown / max(patch["box"][2:]), 20.0))
    return webp(box_crop(picture_load(file), patch["box"], around=around))


def _region(inspection: Inspection, number: int) -> dict:
    if not 1 <= number <= len(inspection.regions):
        raise NoEvidence(f"Inspection {inspection.pk} has no region {number}.")
    return inspection.regions[number - 1]
