"""What inspectors learn from and are judged by: good pictures, and test pictures with or without defects."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.core.exceptions import ValidationError

from cases.models import ImageFile
from cases.services.intake import Picture, image_file_store, picture_check
from vision.engine.images import EXTENSIONS
from vision.models import Inspector, InspectorPicture

#: Folder of good parts, in the layout of MVTec AD.
GOOD = "good"
Purpose = InspectorPicture.Purpose


@dataclass(frozen=True)
class FoundPicture:
    """A picture in a folder: where it lies, its defect type ("" for good), and its mask."""

    path: Path
    purpose: str
    defect: str = ""
    mask: Path | None = None


def inspector_picture_add(
    inspector: Inspector,
    picture: Picture,
    *,
    purpose: str = Purpose.FIT,
    defect: str = "",
    mask: Picture | None = None,
    user=None,
) -> tuple[InspectorPicture, bool]:
    """Give a picture to an inspector; returns its row and whether it is new. A known one stays as it is.

    Raises ValidationError (keys "images", "mask", "defect") for unreadable files, a mask of another size,
    a mask without a defect, and a defect among what is to be learned from; StorageAway.
    """
    if purpose == Purpose.FIT and (defect or mask):
        raise ValidationError(
            {"images": "An inspector learns from good parts only, and this one has a defect."}
        )
    if defect.strip().lower() == GOOD or (mask and not defect):
        raise ValidationError(
            {"defect": "Name the kind of defect; for a good part leave it and the mask out."}
        )
    info = picture_check(picture)
    mask_file = _mask_store(mask, picture, (info.width, info.height)) if mask else None
    return InspectorPicture.objects.get_or_create(
        inspector=inspector,
        file=image_file_store(picture, info),
        defaults={
            "purpose": purpose,
            "defect": defect,
            "mask": mask_file,
            "name": picture.name[-200:],
            "added_by": user,
        },
    )


def inspector_picture_remove(picture: InspectorPicture) -> str:
    """Take a picture away from an inspector, and return its name; its original stays as evidence.

    Versions that learned from it stay what they are.
    """
    name = picture.name or str(picture.file)
    picture.delete()
    return name


def _mask_store(mask: Picture, picture: Picture, size: tuple[int, int]) -> ImageFile:
    try:
        info = picture_check(mask)
    except ValidationError as error:
        raise ValidationError({"mask": error.messages}) from error
    if (info.width, info.height) != size:
        raise ValidationError(
            {
                "mask": f"The mask {mask.name} has {info.width} x {info.height} pixels, but {picture.name}"
                f" has {size[0]} x {size[1]}: draw it on the picture itself."
            }
        )
    return image_file_store(mask, info)


def folder_find(folder: Path) -> list[FoundPicture]:
    """The pictures of a folder in the layout of MVTec AD: train/good, test/DEFECT, ground_truth/DEFECT."""
    found = [FoundPicture(path, Purpose.FIT) for path in _pictures_of(folder / "train" / GOOD)]
    kinds = sorted(path.name for path in (folder / "test").glob("*") if path.is_dir())
    for kind in kinds:
        for path in _pictures_of(folder / "test" / kind):
            mask = folder / "ground_truth" / kind / f"{path.stem}_mask.png"
            has_mask = kind != GOOD and mask.is_file()
            found.append(
                FoundPicture(path, Purpose.TEST, "" if kind == GOOD else kind, mask if has_mask else None)
            )
    return found


def _pictures_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix.lower()[1:] in EXTENSIONS)


def folder_add(inspector: Inspector, found: list[FoundPicture], *, user=None) -> Iterator[str]:
    """Give the pictures of a folder to an inspector: for each what is wrong, "" for nothing.

    A mask that can't be used is left out, and its picture stays.
    """
    for one in found:
        picture = Picture(one.path.name, one.path.read_bytes())
        mask = Picture(one.mask.name, one.mask.read_bytes()) if one.mask else None
        how = {"purpose": one.purpose, "defect": one.defect, "user": user}
        problems = []
        try:
            inspector_picture_add(inspector, picture, mask=mask, **how)
        except ValidationError as error:
            problems = error.messages
            if "mask" in error.message_dict:
                inspector_picture_add(inspector, picture, **how)
        yield " ".join(problems)
