"""Pictures that people upload and that are no photograph of a fault, and odd files of one that is."""

import io

import cv2
import numpy as np
from PIL import Image

from tests.hostile import saved
from vision.engine.synthesis.gallery import draw_fault_image

_PHONE = (4000, 3000)  # 12 MP


def plain(level: int, size: tuple[int, int] = (320, 240)) -> bytes:
    """A picture of one grey from 0 to 255: a lens cap, or a lamp."""
    return saved(Image.new("RGB", size, (level,) * 3), "PNG")


def desk() -> bytes:
    """A desk from above: wood, a written page, a cup of coffee and a cable."""
    width, height = 640, 480
    random = np.random.default_rng(4)
    bend = cv2.resize(random.standard_normal((4, 5)), (width, height), interpolation=cv2.INTER_CUBIC)
    fibre = cv2.resize(random.standard_normal((height, 16)), (width, height), interpolation=cv2.INTER_CUBIC)
    rows = np.arange(height)[:, None]
    tone = 1 + 0.08 * np.sin(rows / 9 + 2 * bend) + 0.05 * fibre
    scene = np.clip(np.array([150, 104, 66]) * tone[..., None], 0, 255).astype(np.uint8)

    page = np.array([[40, 70], [300, 40], [335, 420], [70, 450]], np.int32)
    _cast_shadow(scene, lambda sheet: cv2.fillPoly(sheet, [page + 6], 255))
    cv2.fillPoly(scene, [page], (236, 234, 228), cv2.LINE_AA)
    for line in range(16):
        start = np.array([80, 96]) + line * np.array([1.6, 20])
        for word in range(7):
            left = start + word * np.array([30, -3.4])
            right = left + random.uniform(10, 26) * np.array([1, -0.11])
            ends = (tuple(int(value) for value in point) for point in (left, right))
            cv2.line(scene, *ends, (70, 70, 90), 3, cv2.LINE_AA)

    _cast_shadow(scene, lambda sheet: cv2.circle(sheet, (502, 172), 92, 255, -1))
    cv2.ellipse(scene, (590, 160), (34, 26), 20, 0, 360, (205, 60, 50), 12, cv2.LINE_AA)
    for radius, colour in ((92, (205, 60, 50)), (82, (240, 236, 230)), (76, (58, 34, 20))):
        cv2.circle(scene, (492, 160), radius, colour, -1, cv2.LINE_AA)
    cv2.ellipse(scene, (470, 138), (30, 14), -30, 0, 360, (104, 70, 46), -1, cv2.LINE_AA)

    along = np.linspace(0, 1, 80)
    cable = np.stack([380 + 250 * along, 360 + 60 * np.sin(7 * along)], axis=1).astype(np.int32)
    _cast_shadow(scene, lambda sheet: cv2.polylines(sheet, [cable + 5], False, 255, 9))
    cv2.polylines(scene, [cable], False, (28, 28, 30), 9, cv2.LINE_AA)
    cv2.polylines(scene, [cable - 2], False, (80, 80, 84), 2, cv2.LINE_AA)
    noisy = scene + random.normal(0, 3, scene.shape)
    return saved(Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)), "JPEG", quality=88)


def _cast_shadow(scene: np.ndarray, draw) -> None:
    sheet = np.zeros(scene.shape[:2], np.uint8)
    draw(sheet)
    shadow = cv2.GaussianBlur(sheet.astype(np.float32) / 255, (0, 0), 5)[..., None]
    scene[:] = (scene * (1 - 0.45 * shadow)).astype(np.uint8)


def fault(kind: str, seed: int, material: str, size: int = 256) -> Image.Image:
    """A drawn photograph of a fault."""
    pixels, _ = draw_fault_image(kind, seed, size, material=material)
    return Image.fromarray(pixels)


def png(picture: Image.Image) -> bytes:
    return saved(picture, "PNG")


def sixteen_bit(picture: Image.Image) -> bytes:
    """The same in 16-bit grey, as industrial cameras write it."""
    grey = np.asarray(picture.convert("L")).astype(np.uint16) * 257
    return saved(Image.fromarray(grey), "PNG")


def thumbnail(picture: Image.Image) -> bytes:
    return saved(picture.resize((64, 64), Image.Resampling.LANCZOS), "JPEG", quality=80)


def twelve_megapixels(picture: Image.Image) -> bytes:
    """The same as a phone would take it: 4000 x 3000 pixels, the part in the middle, plain beside it."""
    width, height = _PHONE
    wide = Image.new("RGB", _PHONE, (90, 92, 95))
    wide.paste(picture.resize((height, height), Image.Resampling.BICUBIC), ((width - height) // 2, 0))
    return saved(wide, "JPEG", quality=85)


def strip(picture: Image.Image, *, upright: bool) -> bytes:
    """The middle of it in 1 : 20."""
    side = picture.width
    low, high = side // 2 - side // 40, side // 2 + side // 40
    box = (low, 0, high, side) if upright else (0, low, side, high)
    piece = picture.crop(box)
    long, short = 800, 40
    return saved(piece.resize((short, long) if upright else (long, short)), "PNG")


def cmyk(picture: Image.Image) -> bytes:
    """As printing software writes it."""
    return saved(picture.convert("CMYK"), "JPEG", quality=95)


def transparent_palette(picture: Image.Image) -> bytes:
    """256 colours, one of them transparent."""
    return saved(picture.quantize(255), "PNG", transparency=0)


def turned_by_exif(picture: Image.Image) -> bytes:
    """Stored lying, with the note to show it upright."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to show
    buffer = io.BytesIO()
    picture.transpose(Image.Transpose.ROTATE_90).save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()
