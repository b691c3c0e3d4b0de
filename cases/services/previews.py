"""Small pictures of originals for screens: drawn once, and again when they are lost."""

import logging

from django.core.files.base import ContentFile, File
from django.core.files.storage import storages

from cases.models import ImageFile
from cases.storages import StorageAway
from vision.engine.images import load_image, render_preview

logger = logging.getLogger(__name__)

#: Longer side in pixels.
SIZES = {"thumbnail": 256, "preview": 1600}


def preview_open(image_file: ImageFile, size: str) -> File:
    """A picture in one of SIZES, as WebP.

    Raises FileNotFoundError when the original is missing, StorageAway when nothing can be read.
    """
    derived, digest = storages["derived"], image_file.sha256
    name = f"{digest[:2]}/{digest}/{size}.webp"
    try:
        return derived.open(name)
    except FileNotFoundError:
        pass
    with image_file.original.open("rb") as original:
        drawn = render_preview(load_image(original.read(), fit=SIZES[size]), SIZES[size])
    try:
        derived.save(name, ContentFile(drawn))
    except StorageAway as error:
        logger.warning("%s is not kept: %s", name, error.reason)
    return ContentFile(drawn, name)
