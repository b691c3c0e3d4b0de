"""Pictures of results: heat maps and overlays of inspections, and charts of evaluations."""

from io import BytesIO

from PIL import Image

from vision.engine.heatmaps import heat_image, overlay_image
from vision.models import Inspection
from vision.services.inspection.good_pictures import picture_load
from vision.services.inspection.inspecting import inspection_level, inspection_map

#: Longer side of what is sent to a screen.
_SHOWN = 1600


def inspection_heat(inspection: Inspection) -> bytes:
    """The heat map as PNG with transparency, in the picture's proportions, at most 1,600 pixels long."""
    heat = heat_image(inspection_map(inspection, longest=_SHOWN), inspection_level(inspection))
    return _png(heat)


def inspection_overlay(inspection: Inspection) -> bytes:
    """The picture with its heat map and the outlines of suspicious regions, as PNG at its own size.

    Raises GoodPictureError, StorageAway.
    """
    outlines = [region["outline"] for region in inspection.regions]
    image = picture_load(inspection.file)
    return _png(overlay_image(image, inspection_map(inspection), inspection_level(inspection), outlines))


def _png(image: Image.Image) -> bytes:
    stream = BytesIO()
    image.save(stream, "PNG", optimize=False)
    return stream.getvalue()
