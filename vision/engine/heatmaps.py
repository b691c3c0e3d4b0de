"""Pictures of a map of anomaly: colours from dark (as good parts) to bright (unlike them), and overlays."""

import cv2
import numpy as np
from PIL import Image

#: The level of suspicious patches lies in this part of the colours, so that good surfaces stay dark.
_LEVEL_AT = 0.4
#: From where on the map shows, and from where on nothing shows through it, in units of the level.
_SHOWN = (0.8, 1.4)
#: Colour of outlines, which stands out from the map and from grey and metal.
_OUTLINE = (0, 229, 255)


def heat_image(anomaly: np.ndarray, level: float) -> Image.Image:
    """A map float32 (h, w) in colours, RGBA (h, w).

    It is transparent under 0.8 times `level`, where good surfaces lie, and covers all from 1.4 times on.

    Inferno, which is as bright as the value is high, also for eyes that don't tell red from green.
    """
    shares = np.clip(anomaly * (_LEVEL_AT / level), 0, 1)
    colours = cv2.applyColorMap(np.rint(shares * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    first, last = _SHOWN
    alpha = np.rint(np.clip((anomaly / level - first) / (last - first), 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(np.dstack([colours[..., ::-1], alpha]))


def overlay_image(
    image: Image.Image, anomaly: np.ndarray, level: float, outlines=(), *, opacity: float = 0.5
) -> Image.Image:
    """A picture with its map laid over it, and closed `outlines` (lists of points (x, y) in its pixels)."""
    heat = heat_image(anomaly, level)
    heat.putalpha(heat.getchannel("A").point(lambda alpha: round(alpha * opacity)))
    joined = Image.alpha_composite(image.convert("RGBA"), heat).convert("RGB")
    width = max(1, round(max(image.size) / 300))
    drawn = np.asarray(joined).copy()
    for outline in outlines:
        cv2.polylines(drawn, [np.array(outline, np.int32)], True, _OUTLINE, width, cv2.LINE_AA)
    return Image.fromarray(drawn)
