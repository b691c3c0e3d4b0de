"""Files that people and programs send: strange ones that are pictures, and some that are not."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

from tests.factories import image_bytes


def saved(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def noise(mode: str = "RGB", size: tuple[int, int] = (48, 40), seed: int = 0) -> Image.Image:
    channels = {"L": (), "RGB": (3,), "CMYK": (4,)}[mode]
    width, height = size
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, *channels), dtype=np.uint8)
    return Image.fromarray(pixels, mode=mode) if mode == "CMYK" else Image.fromarray(pixels)


def animated(format: str) -> bytes:
    frames = [noise(seed=seed) for seed in range(3)]
    return saved(frames[0], format, save_all=True, append_images=frames[1:], duration=100)


def rotated_by_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(noise(), "JPEG", exif=exif)


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises any number of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\x00" * 10_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def sixteen_bit() -> bytes:
    ramp = np.linspace(0, 65535, 48 * 40, dtype=np.uint16).reshape(40, 48)
    return saved(Image.fromarray(ramp), "PNG")


#: name: (data, what the sentence says besides the name)
REFUSED = {
    "empty.jpg": (b"", "0 bytes"),
    "text.jpg": (b"This is a letter, not a picture. " * 20, "text.jpg"),
    "drawing.svg": (b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', "SVG"),
    "drawing.png": (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    "page.png": (b"<!DOCTYPE html><html><body>hello</body></html>", "HTML"),
    "cut.jpg": (image_bytes(1, "JPEG", (640, 480))[:5000], "cut.jpg"),
    "cut.png": (image_bytes(1, "PNG", (640, 480))[:5000], "cut.png"),
    "moving.gif": (animated("GIF"), "moving.gif"),
    "moving.webp": (animated("WEBP"), "moving.webp"),
    "renamed.jpg": (image_bytes(1, "PNG"), "PNG"),
    "bomb.png": (png_claiming(20_000, 20_000), "20000 x 20000"),
    "huge.png": (png_claiming(2**31 - 1, 2**31 - 1), "huge.png"),
    "dot.png": (image_bytes(1, "PNG", (4, 4)), "16"),
    "archive.jpg": (b"PK\x03\x04" + b"\x00" * 400, "ZIP"),
}

#: name: (data, width and height of the upright picture)
ACCEPTED = {
    "print.jpg": (saved(noise("CMYK"), "JPEG"), (48, 40)),
    "deep.png": (sixteen_bit(), (48, 40)),
    "palette.gif": (saved(noise().convert("P"), "GIF"), (48, 40)),
    "palette.png": (saved(noise().convert("P"), "PNG"), (48, 40)),
    "phone.jpg": (rotated_by_exif(), (40, 48)),
    "grey.bmp": (saved(noise("L"), "BMP"), (48, 40)),
    "scan.tiff": (saved(noise(), "TIFF"), (48, 40)),
    "ünï ☃ <b>.png": (image_bytes(2), (48, 40)),
}
