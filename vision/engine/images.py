"""The one guard and decoder of pictures: form, API, import and admin all pass uploads through here.

`check_image` decides from the content alone whether a file is one still picture that can be decoded
completely; `load_image` turns an accepted file into upright 8-bit RGB pixels. Both raise nothing but
`ImageError`, whatever the bytes are.
"""

import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

MIB = 1024 * 1024


@dataclass(frozen=True)
class ImageLimits:
    """What an upload may be. Bytes a file, pixels a picture, pixels of the shorter side, files a case."""

    max_bytes: int = 25 * MIB
    max_pixels: int = 60_000_000
    min_side: int = 16
    max_files: int = 10


DEFAULT_LIMITS = ImageLimits()


class ImageError(ValueError):
    """A file that is not accepted: the text is a sentence for the person who sent it, `code` is for programs.

    Codes: empty, too_large, not_an_image, unsupported, type_mismatch, animated, too_many_pixels, too_small,
    metadata, truncated, no_files, too_many_files.
    """

    def __init__(self, message: str, code: str):
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class ImageInfo:
    """An accepted file: `format` and `mode` in Pillow's words, width and height in pixels, upright."""

    format: str
    mime: str
    extension: str
    width: int
    height: int
    sha256: str
    mode: str


@dataclass(frozen=True)
class _Format:
    mime: str
    extensions: tuple[str, ...]  # the first one is ours
    plugin: type[ImageFile.ImageFile]


_FORMATS = {
    "JPEG": _Format("image/jpeg", ("jpg", "jpeg", "jpe", "jfif"), JpegImagePlugin.JpegImageFile),
    "PNG": _Format("image/png", ("png",), PngImagePlugin.PngImageFile),
    "WEBP": _Format("image/webp", ("webp",), WebPImagePlugin.WebPImageFile),
    "BMP": _Format("image/bmp", ("bmp", "dib"), BmpImagePlugin.BmpImageFile),
    "TIFF": _Format("image/tiff", ("tif", "tiff"), TiffImagePlugin.TiffImageFile),
    "GIF": _Format("image/gif", ("gif",), GifImagePlugin.GifImageFile),
}
ACCEPTED = "JPEG, PNG, WebP, BMP, TIFF or still GIF"
#: For the `accept` attribute of a file input.
ACCEPTED_MIME_TYPES = tuple(entry.mime for entry in _FORMATS.values())
EXTENSIONS = tuple(extension for entry in _FORMATS.values() for extension in entry.extensions)

# Types that people do send, each with the words that help.
_FOREIGN = (
    (re.compile(rb"%PDF-"), "unsupported", "a PDF document"),
    (re.compile(rb"\s*<(!doctype html|html|head|body|script)", re.I), "not_an_image", "a web page (HTML)"),
    (re.compile(rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!doctype svg[^>]*>\s*)?<svg", re.I | re.S),
     "unsupported", "an SVG drawing"),
    (re.compile(rb".{4}ftyp(heic|heix|hevc|mif1|msf1|heim|heis)", re.S), "unsupported", "a HEIC photograph"),
    (re.compile(rb".{4}ftypavi[fs]", re.S), "unsupported", "an AVIF picture"),
    (re.compile(rb".{4}ftyp", re.S), "not_an_image", "a video"),
    (re.compile(rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51"), "unsupported", "a JPEG 2000 picture"),
    (re.compile(rb"PK\x03\x04"), "not_an_image", "a ZIP archive or an office document"),
)  # fmt: skip

_ORIENTATION_TAG = 0x0112
#: By so much channels of a grey picture may differ after compression, once it is shrunk.
_COLOUR_NOISE = 12
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SENSOR_BITS = (8, 10, 12, 14, 16)


def check_images(files: Sequence[tuple[bytes, str]], limits: ImageLimits = DEFAULT_LIMITS) -> list[ImageInfo]:
    """Check the (data, name) pairs of one upload: their number, then each of them. Raises ImageError."""
    if not files:
        raise ImageError(f"No picture was sent. Choose 1 to {limits.max_files} pictures.", "no_files")
    if len(files) > limits.max_files:
        raise ImageError(
            f"{len(files)} pictures were sent, and a case takes at most {limits.max_files}. "
            f"Choose the {limits.max_files} that show the fault best.",
            "too_many_files",
        )
    return [check_image(data, name, limits) for data, name in files]


def check_image(data: bytes, name: str, limits: ImageLimits = DEFAULT_LIMITS) -> ImageInfo:
    """Accept `data` as one still picture that decodes completely, or raise ImageError.

    The type comes from the content, and the file name's extension must agree with it. Pixels are counted from
    the header before anything is decoded.
    """
    shown = display_name(name)
    if not data:
        raise ImageError(f"{shown} is empty (0 bytes). Choose a file that holds a picture.", "empty")
    if len(data) > limits.max_bytes:
        raise ImageError(
            f"{shown} has {_mib(len(data))}, and a picture may have at most {_mib(limits.max_bytes)}. "
            "Save it smaller or with stronger compression.",
            "too_large",
        )
    kind = _sniff(data, shown)
    _check_extension(kind, name, shown)
    image = _open(data, kind, shown)
    try:
        _check_still(image, kind, shown)
        _check_size(image, kind, shown, limits)
        mode, (width, height) = image.mode, image.size
        if kind == "JPEG":
            # An eighth of the size still reads every byte of the coded data, in a third of the time.
            image.draft(None, (max(width // 8, 1), max(height // 8, 1)))
        image.load()
        if kind == "TIFF":  # Pillow turns TIFFs upright on load
            width, height = image.size
        elif _orientation(image) >= 5:
            width, height = height, width
    except ImageError:
        raise
    except Exception as error:  # whatever a decoder says about hostile bytes, the answer is a sentence
        raise _decoding_error(error, shown) from error
    entry = _FORMATS[kind]
    return ImageInfo(
        kind, entry.mime, entry.extensions[0], width, height, hashlib.sha256(data).hexdigest(), mode
    )


def load_image(source: bytes | Path | BinaryIO, *, fit: int | None = None) -> Image.Image:
    """Decode an accepted picture to RGB, 8 bits a channel, upright, transparency laid over white.

    `fit` is the number of pixels of the shorter side that the caller needs: a JPEG is then decoded at a
    fraction of its size, never below twice `fit`. Raises ImageError when the bytes cannot be decoded, and
    OSError when a path cannot be read.
    """
    if isinstance(source, Path):
        name, data = source.name, source.read_bytes()
    elif isinstance(source, bytes):
        name, data = "The picture", source
    else:
        name, data = str(getattr(source, "name", "The picture")), source.read()
    shown = display_name(name)
    kind = _sniff(data, shown)
    image = _open(data, kind, shown)
    try:
        if fit and kind == "JPEG":
            image.draft(None, (2 * fit, 2 * fit))
        image.load()
        orientation = 1 if kind == "TIFF" else _orientation(image)
        image = to_rgb(image)
        return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image
    except Exception as error:
        raise _decoding_error(error, shown) from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Bring a decoded picture of any Pillow mode to 8-bit RGB; transparent pixels become white."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_8_bit(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    return image.convert("RGB")


def is_grey(image: Image.Image) -> bool:
    """Whether an RGB picture has no colour, but for what compression adds to a grey one."""
    pixels = np.asarray(image.resize((64, 64), Image.Resampling.BILINEAR, reducing_gap=2.0), np.int16)
    return bool(np.ptp(pixels, axis=2).max() <= _COLOUR_NOISE)


def perceptual_hash(image: Image.Image) -> int:
    """64-bit DCT hash of a picture as a signed integer, so that it fits a bigint column.

    Near-duplicates differ in few bits: `(a ^ b).bit_count()` for the masked values, see `hash_distance`.
    """
    import imagehash

    bits = imagehash.phash(image).hash
    return int.from_bytes(np.packbits(bits).tobytes(), "big", signed=True)


def hash_distance(first: int, second: int) -> int:
    """Number of bits in which two perceptual hashes differ, 0 to 64."""
    return ((first ^ second) & 0xFFFF_FFFF_FFFF_FFFF).bit_count()


def render_preview(image: Image.Image, max_side: int, format: str = "WEBP") -> bytes:
    """Encode a picture, shrunk so that its longer side has at most `max_side` pixels, without metadata."""
    preview = to_rgb(image)
    preview = preview.copy() if preview is image else preview
    preview.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    preview.info = {}
    buffer = io.BytesIO()
    preview.save(buffer, format=format, quality=82)
    return buffer.getvalue()


def display_name(name: str) -> str:
    """A file name fit for a sentence: no folders, no control characters, at most 80 characters."""
    base = PurePosixPath(name.replace("\\", "/")).name
    base = "".join(character for character in base if character.isprintable()).strip()
    if not base:
        return "The file"
    return base if len(base) <= 80 else f"{base[:50]}…{base[-29:]}"


def _sniff(data: bytes, shown: str) -> str:
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith((b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")):
        return "TIFF"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"BM"):
        return "BMP"
    head = data[:1024].removeprefix(b"\xef\xbb\xbf")
    for pattern, code, words in _FOREIGN:
        if pattern.match(head):
            raise ImageError(f"{shown} is {words}. Save it as {ACCEPTED} and send that.", code)
    words = "is plain text" if _looks_like_text(head) else "is not a picture that can be read"
    raise ImageError(f"{shown} {words}. Send a {ACCEPTED} file.", "not_an_image")


def _looks_like_text(head: bytes) -> bool:
    return not any(byte < 9 or 13 < byte < 32 for byte in head)


def _check_extension(kind: str, name: str, shown: str) -> None:
    match = re.search(r"\.([a-z][a-z0-9]{1,4})$", name.strip(), re.I)
    if match and match[1].lower() not in _FORMATS[kind].extensions:
        raise ImageError(
            f"{shown} is named .{match[1]}, but its content is {kind}. "
            f"Rename it to .{_FORMATS[kind].extensions[0]}, or save it again as what its name says.",
            "type_mismatch",
        )


def _open(data: bytes, kind: str, shown: str) -> Image.Image:
    # The plugin is called directly: Image.open would warn about large pictures before we could say so.
    try:
        return _FORMATS[kind].plugin(io.BytesIO(data))
    except Exception as error:
        raise _decoding_error(error, shown) from error


def _check_still(image: Image.Image, kind: str, shown: str) -> None:
    if getattr(image, "is_animated", False):
        what = "has several pages" if kind == "TIFF" else "is an animation"
        raise ImageError(f"{shown} {what}. Send each picture as a file of its own.", "animated")


def _check_size(image: Image.Image, kind: str, shown: str, limits: ImageLimits) -> None:
    width, height = image.size
    pixels = width * height
    if kind == "TIFF":  # the decoder allocates whole tiles, whatever the picture's own size is
        tile_width, tile_height = (int(image.tag_v2.get(tag, 0)) for tag in (322, 323))
        pixels = max(pixels, tile_width * tile_height)
    if pixels > limits.max_pixels:
        raise ImageError(
            f"{shown} has {width} x {height} pixels, and a picture may have at most "
            f"{limits.max_pixels / 1e6:g} million. Crop it to the fault or save it smaller.",
            "too_many_pixels",
        )
    if min(width, height) < limits.min_side:
        raise ImageError(
            f"{shown} has {width} x {height} pixels, and each side needs at least {limits.min_side}. "
            "Send the original photograph.",
            "too_small",
        )


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # broken metadata is no reason to refuse good pixels
        return 1
    return value if isinstance(value, int) and value in _UPRIGHT else 1


def _decoding_error(error: Exception, shown: str) -> ImageError:
    text = str(error).lower()
    if "max_text" in text or "text chunk" in text or "decompressed data too large" in text:
        return ImageError(
            f"{shown} carries far too much hidden metadata (text or colour profile over 1 MiB unpacked). "
            "Save it again without metadata.",
            "metadata",
        )
    if isinstance(error, MemoryError | Image.DecompressionBombError):
        return ImageError(f"{shown} unpacks to more pixels than it may. Save it smaller.", "too_many_pixels")
    return ImageError(
        f"{shown} is cut off or damaged and cannot be read completely. Send the original file again.",
        "truncated",
    )


def _to_8_bit(values: np.ndarray) -> np.ndarray:
    """Scale grey values beyond 8 bits to uint8.

    Integers are divided by the full scale of the shallowest sensor (8, 10, 12, 14, 16 bits) that holds the
    brightest pixel, since cameras store 12 bits in 16: exposure stays as it was. Floats within 0 to 1 have
    1 as full scale. Anything else (negative, 32 bits) is stretched from its minimum to its maximum.
    """
    floats = values.dtype.kind == "f"
    values = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    full = next((2**bits - 1 for bits in _SENSOR_BITS if high < 2**bits), None)
    if low < 0 or full is None:
        values, full = values - low, max(high - low, 1e-12)
    elif floats and high <= 1:
        full = 1
    return np.clip(values * (255 / full) + 0.5, 0, 255).astype(np.uint8)


def _mib(size: int) -> str:
    return f"{size / MIB:.1f} MiB"
