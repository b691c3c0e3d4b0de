"""Pictures of results: heat maps and overlays of inspections, crops of what was compared."""

from io import BytesIO

from PIL import Image, ImageDraw

from cases.services.previews import SIZES, preview_open
from vision.engine.heatmaps import heat_image, overlay_image
from vision.engine.images import load_image, render_preview
from vision.models import Inspection
from vision.services.inspection.good_pictures import picture_load
from vision.services.inspection.inspecting import inspection_level, inspection_map

#: Longer side of what is sent to a screen.
_SHOWN = 1600
#: A patch is a few pixels: a crop shows so many times its longer side, at least so many pixels.
_AROUND, _LEAST_CROP = 5, 96
#: Longer side of a crop on a screen.
_CROP_SHOWN = 320
_FRAME = (0, 229, 255)


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


def inspection_small(inspection: Inspection, size: str = "thumbnail") -> Image.Image:
    """The same at one of the sizes of previews, RGB. Raises FileNotFoundError, StorageAway."""
    with preview_open(inspection.file, size) as drawn:
        image = load_image(drawn.read())
    anomaly = inspection_map(inspection, longest=SIZES[size])
    if anomaly.shape[::-1] != image.size:
        image = image.resize(anomaly.shape[::-1])
    scale = image.width / inspection.file.width
    outlines = [
        [[round(x * scale), round(y * scale)] for x, y in region["outline"]] for region in inspection.regions
    ]
    return overlay_image(image, anomaly, inspection_level(inspection), outlines)


def inspection_thumbnail(inspection: Inspection) -> bytes:
    """The picture with its heat map for a list, as WebP. Raises FileNotFoundError, StorageAway."""
    return render_preview(inspection_small(inspection), SIZES["thumbnail"])


def box_crop(image: Image.Image, box, *, around: float = _AROUND) -> Image.Image:
    """The surroundings of a box (x, y, width, height) of a picture, with the box framed.

    The longer side of the box is an `around`-th of the crop's.
    """
    x, y, width, height = box
    side = max(round(max(width, height) * around), min(_LEAST_CROP, *image.size))
    wide, high = min(side, image.width), min(side, image.height)
    left = min(max(x + width // 2 - wide // 2, 0), image.width - wide)
    top = min(max(y + height // 2 - high // 2, 0), image.height - high)
    scale = _CROP_SHOWN / max(wide, high)
    crop = image.crop((left, top, left + wide, top + high))
    crop = crop.resize((round(wide * scale), round(high * scale)), Image.Resampling.BICUBIC)
    # Clear of the box, so that nothing of it hides under its frame.
    edges = [
        (x - left) * scale - 2, (y - top) * scale - 2,
        (x + width - left) * scale + 1, (y + height - top) * scale + 1,
    ]  # fmt: skip
    ImageDraw.Draw(crop).rectangle(edges, outline=_FRAME, width=2)
    return crop


def webp(image: Image.Image) -> bytes:
    """As WebP for a screen."""
    return render_preview(image, _CROP_SHOWN)


def _png(image: Image.Image) -> bytes:
    stream = BytesIO()
    image.save(stream, "PNG", optimize=False)
    return stream.getvalue()
