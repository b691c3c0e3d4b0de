"""A part of a picture, in fractions of it, so that it means the same at every size of the picture."""

import math
import re
from dataclasses import astuple, dataclass

from PIL import Image

from vision.engine.images import DEFAULT_LIMITS

#: Pixels that each side of a region needs: what a picture of its own would need.
MIN_SIDE = DEFAULT_LIMITS.min_side
#: How a region is written: its left and upper edge, then its width and height.
EXAMPLE = "0.25,0.25,0.5,0.5"
_NUMBER = r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
# Programs round to four digits, and the last one may then lie beyond the edge: less than a pixel.
_TOLERANCE = 1e-4


class RegionError(ValueError):
    """A region that can't be used: the text is a sentence for the person who drew it, `code` for programs.

    Codes: malformed_region, region_outside, region_too_small, region_of_several.
    """

    def __init__(self, message: str, code: str):
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Region:
    """A rectangle of an upright picture: left and upper edge, width and height as fractions 0 to 1 of it.

    Raises RegionError for one that reaches out of the picture.
    """

    x: float
    y: float
    width: float
    height: float

    def __post_init__(self):
        if not all(math.isfinite(value) for value in astuple(self)):
            raise _malformed("is not made of four finite numbers")
        if self.width <= 0 or self.height <= 0:
            raise RegionError(
                f"The region {self} is empty: its width and height must be more than 0. "
                f"Give x,y,width,height in fractions of the picture, such as {EXAMPLE}.",
                "region_too_small",
            )
        right, lower = self.x + self.width, self.y + self.height
        if min(self.x, self.y) < 0 or max(right, lower) > 1 + _TOLERANCE:
            raise RegionError(
                f"The region {self} reaches out of the picture. All of it must lie between 0 and 1: "
                f"x + width is {right:.4g}, y + height is {lower:.4g}.",
                "region_outside",
            )

    @classmethod
    def parse(cls, text: str) -> "Region":
        """The region of a text such as "0.25,0.25,0.5,0.5". Raises RegionError."""
        parts = [part.strip() for part in text.split(",")]
        if len(parts) != 4 or not all(re.fullmatch(_NUMBER, part) for part in parts):
            shown = text if len(text) <= 60 else f"{text[:60]}…"
            raise _malformed(f"{shown!r} is not four numbers")
        return cls(*(float(part) for part in parts))

    def __str__(self):
        return ",".join(f"{value:.4g}" for value in astuple(self))

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the picture."""
        return min(self.width, self.height) >= 1

    def box(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, upper, right and lower edge in pixels of an upright picture of this size, as Pillow crops.

        Edges go to the nearest line between two pixels, so regions side by side share none.
        Raises RegionError when a side has fewer than MIN_SIDE pixels.
        """
        left, upper = round(self.x * width), round(self.y * height)
        right = min(round((self.x + self.width) * width), width)
        lower = min(round((self.y + self.height) * height), height)
        if min(right - left, lower - upper) < MIN_SIDE:
            raise RegionError(
                f"The region has {right - left} x {lower - upper} pixels of the picture's {width} x {height},"
                f" and each side needs at least {MIN_SIDE}. Draw it larger.",
                "region_too_small",
            )
        return left, upper, right, lower

    def fit(self, side: int) -> int:
        """Pixels that the shorter side of a picture needs, so that both of the region have `side` or more."""
        return math.ceil(side / min(self.width, self.height))


WHOLE = Region(0, 0, 1, 1)


def region_crop(image: Image.Image, region: Region) -> Image.Image:
    """The part of an upright picture that a region names; the picture itself for the whole of it.

    Raises RegionError when a side has fewer than MIN_SIDE pixels.
    """
    if region.is_whole:
        return image
    return image.crop(region.box(*image.size))


def _malformed(what: str) -> RegionError:
    return RegionError(
        f"The region {what}. Give x,y,width,height in fractions of the picture, such as {EXAMPLE}.",
        "malformed_region",
    )
