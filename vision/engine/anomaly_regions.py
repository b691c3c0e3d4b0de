"""From a map of anomaly to boxes that an engineer can look at."""

from dataclasses import dataclass

import cv2
import numpy as np

#: Share of its peak down to which a region reaches, the full width at half of the maximum, and share of the
#: highest peak that another needs.
_SHARE = 0.5


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


def anomaly_regions(
    anomaly: np.ndarray, level: float, *, low: float | None = None, most: int = 10
) -> list[Region]:
    """The parts of a map float32 (h, w) that rise above `level`, highest peak first, at most `most`.

    One whose peak is under half of the highest is left out: it is nothing beside what must be looked at.
    Each reaches as far as the map stays above half of its peak, but not below `low` (default: `level`).
    Places that touch at a corner belong together (8 neighbours).
    """
    low = level if low is None else low
    regions: list[Region] = []
    taken = np.zeros(anomaly.shape, bool)
    peaks = _peaks(anomaly, level)
    for row, column in peaks:
        if len(regions) == most or anomaly[row, column] < _SHARE * anomaly[peaks[0]]:
            break
        if not taken[row, column]:
            own = _reach(anomaly, row, column, low)
            taken |= own
            regions.append(_region(own, float(anomaly[row, column]), row, column))
    return regions


def hottest_region(anomaly: np.ndarray, *, low: float) -> Region:
    """The region of the highest place of a map float32 (h, w), also where that is usual; see above."""
    row, column = (int(at) for at in np.unravel_index(anomaly.argmax(), anomaly.shape))
    return _region(_reach(anomaly, row, column, low), float(anomaly[row, column]), row, column)


def _peaks(anomaly: np.ndarray, level: float) -> list[tuple[int, int]]:
    """The highest place (row, column) of each part above a level, highest first."""
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(
        (anomaly > level).astype(np.uint8), connectivity=8
    )
    peaks = []
    for number in range(1, count):
        x, y, width, height, _ = statistics[number]
        part = (slice(y, y + height), slice(x, x + width))
        inside = np.where(labels[part] == number, anomaly[part], -np.inf)
        row, column = np.unravel_index(inside.argmax(), inside.shape)
        peaks.append((int(y + row), int(x + column)))
    return sorted(peaks, key=lambda peak: (-anomaly[peak], peak))


def _reach(anomaly: np.ndarray, row: int, column: int, low: float) -> np.ndarray:
    """The places around a peak that belong to it, bool (h, w)."""
    peak = float(anomaly[row, column])
    floor = _SHARE * peak
    if low < peak:
        floor = max(floor, low)
    return _around(anomaly >= peak if floor >= peak else anomaly > floor, row, column)


def _around(above: np.ndarray, row: int, column: int) -> np.ndarray:
    """The connected part of a bool (h, w) that a place belongs to."""
    _, labels = cv2.connectedComponents(above.astype(np.uint8), connectivity=8)
    return labels == labels[row, column]


def _region(own: np.ndarray, peak: float, row: int, column: int) -> Region:
    x, y, width, height = cv2.boundingRect(own.astype(np.uint8))
    part = own[y : y + height, x : x + width]
    return Region((x, y, width, height), int(part.sum()), peak, (column, row), _outline(part, x, y))


def _outline(own: np.ndarray, x: int, y: int) -> tuple[tuple[int, int], ...]:
    contours, _ = cv2.findContours(own.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    coarse = cv2.approxPolyDP(max(contours, key=cv2.contourArea), 0.01 * max(own.shape), True)
    return tuple((x + int(column), y + int(row)) for column, row in coarse[:, 0])
