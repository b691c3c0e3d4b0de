"""A library of many images with no pictures behind them: their vectors follow from their ids alone."""

import numpy as np

from cases.models import Case, CaseImage, FaultCategory, ImageFile
from cases.services.labels import images_label
from vision.models import EmbeddingSpace
from vision.services.embedding import _store, vectors_pack, vectors_unpack

DIMENSION = 32


def vector(image_id: int) -> np.ndarray:
    """The vector of an image, as any process works it out: float32 (d,), unit length."""
    direction = np.random.default_rng(image_id).standard_normal(DIMENSION)
    packed = vectors_pack((direction / np.linalg.norm(direction))[None])
    stored = vectors_unpack(packed, DIMENSION)[0]
    return stored / np.linalg.norm(stored)


def space_add() -> EmbeddingSpace:
    """An active space for such vectors, with three categories and the one file that all images show."""
    for code in "ABC":
        FaultCategory.objects.create(code=code, name=code, state="active")
    ImageFile.objects.create(
        sha256="0" * 64, extension="png", mime="image/png", width=1, height=1, size=1, perceptual_hash=0
    )
    return EmbeddingSpace.objects.create(
        slug="plain",
        backbone="test",
        weights_sha256="0",
        preprocessing="1",
        dimension=DIMENSION,
        state=EmbeddingSpace.State.ACTIVE,
    )


def images_make(count: int) -> list[CaseImage]:
    """Images of cases of their own, without vectors."""
    file = ImageFile.objects.get()
    taken = Case.objects.count() and int(Case.objects.latest("pk").number.removeprefix("S-"))
    cases = Case.objects.bulk_create(Case(number=f"S-{taken + step:06d}") for step in range(1, count + 1))
    return CaseImage.objects.bulk_create(CaseImage(case=case, file=file) for case in cases)


def images_store(space: EmbeddingSpace, images: list[CaseImage]) -> None:
    """Give images their vectors."""
    _store(space, images, vectors_pack(np.stack([vector(image.pk) for image in images])))


def images_add(space: EmbeddingSpace, count: int, labelled: int = 0) -> list[CaseImage]:
    """Images with vectors, the first of them labelled."""
    images = images_make(count)
    images_store(space, images)
    images_label(images[:labelled], verdict="fault", category=FaultCategory.objects.get(code="A"))
    return images
