"""From a map of anomaly to boxes that an engineer can look at."""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Region:
    """A connected part of a map above a level: `box` (x, y, w, h) in pixels, its area in pixels.

    `peak` is the highest value in it and `peak_at` that pixel (x, y). `outline` are the corners (x, y) of a
    polygon around it, which leaves out holes and what is finer than a hundredth of the box.
    """

    box: tuple[int, int, int, int]
    area: int
    peak: float
    peak_at: tuple[int, int]
    outline: tuple[tuple[int, int], ...]


def anomaly_regions(anomaly: np.ndarray, level: float, *, most: int = 10) -> list[Region]:
    """The parts of a map float32 (h, w) above `level`, highest peak first, at most `most`.

    Parts that touch at a corner are one (8 neighbours).
    """
    above = (anomaly > level).astype(np.uint8)
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(above, connectivity=8)
    regions = []
    for number in range(1, count):
        x, y, width, height, area = (int(value) for value in statistics[number])
        part = (slice(y, y + height), slice(x, x + width))
        own = labels[part] == number
        inside = np.where(own, anomaly[part], -np.inf)
        row, column = np.unravel_index(inside.argmax(), inside.shape)
        regions.append(
            Region(
                (x, y, width, height),
                area,
                float(inside[row, column]),
                (x + int(column), y + int(row)),
                _outline(own, x, y),
            )
        )
    return sorted(regions, key=lambda region: (-region.peak, region.box))[:most]


def _outline(own: np.ndarray, x: int, y: int) -> tuple[tuple[int, int], ...]:
    contours, _ = cv2.findContours(own.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    coarse = cv2.approxPolyDP(max(contours, key=cv2.contourArea), 0.01 * max(own.shape), True)
    return tuple((x + int(column), y + int(row)) for column, row in coarse[:, 0])
