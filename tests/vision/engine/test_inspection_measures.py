"""Measures of inspection: equal to their definitions, in memory that does not grow."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from vision.engine.inspection_measures import (
    PixelMeasures,
    at_threshold,
    bootstrap,
    box_holds,
    image_auroc,
)


def pictures(count: int = 6):
    rng = np.random.default_rng(0)
    for number in range(count):
        mask = np.zeros((40, 50), bool)
        if number:
            mask[5 : 5 + 4 * number, 6:12] = True
            mask[30:34, 40:44] = True
        yield (rng.normal(size=mask.shape) + 1.5 * mask * rng.random()).astype(np.float32), mask


def plain_aupro(limit: float) -> float:
    """The definition, with every value as a threshold."""
    import cv2

    maps, masks = zip(*pictures(), strict=True)
    good = np.concatenate([one[~mask] for one, mask in zip(maps, masks, strict=True)])
    regions = []
    for one, mask in zip(maps, masks, strict=True):
        count, labels = cv2.connectedComponents(mask.astype(np.uint8))
        regions += [one[labels == number] for number in range(1, count)]
    thresholds = np.sort(np.concatenate([good, *regions]))[::-1]
    false = np.array([0, *((good >= t).mean() for t in thresholds)])
    found = np.array([0, *(np.mean([(region >= t).mean() for region in regions]) for t in thresholds)])
    below = false < limit
    area = np.trapezoid([*found[below], np.interp(limit, false, found)], [*false[below], limit])
    return area / limit


@pytest.fixture(scope="module")
def measured() -> PixelMeasures:
    measures = PixelMeasures(-6, 8)
    for anomaly, mask in pictures():
        measures.add(anomaly, mask if mask.any() else None)
    return measures


def test_pixel_auroc_is_that_of_all_pixels(measured):
    maps, masks = zip(*pictures(), strict=True)
    expected = roc_auc_score(np.stack(masks).ravel(), np.stack(maps).ravel())
    assert measured.auroc() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
def test_aupro_is_its_definition(measured, limit):
    assert measured.regions == 10
    assert measured.aupro(limit) == pytest.approx(plain_aupro(limit), abs=1e-3)


def test_a_perfect_map_has_areas_of_one_and_an_even_one_of_a_half():
    perfect, even = PixelMeasures(0, 1), PixelMeasures(0, 1)
    for _, mask in pictures():
        perfect.add(mask.astype(np.float32), mask)
        even.add(np.full(mask.shape, 0.5, np.float32), mask)
    assert perfect.auroc() == perfect.aupro() == pytest.approx(1)
    assert even.auroc() == pytest.approx(0.5)
    assert even.aupro(1.0) == pytest.approx(0.5)


def test_measures_at_a_threshold():
    scores = np.array([0.1, 0.2, 0.9, 0.8, 0.3, 0.95])
    faulty = np.array([False, False, False, True, True, True])
    found = at_threshold(scores, faulty, 0.5)
    assert (found.precision, found.recall) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert found.f1 == pytest.approx(2 / 3)
    assert found.false_reject_rate == pytest.approx(1 / 3)
    assert at_threshold(scores, faulty, 2).precision == 0


def test_the_interval_holds_the_value_and_shrinks_with_more_pictures():
    rng = np.random.default_rng(0)
    widths = []
    for count in (40, 800):
        faulty = np.arange(count) % 2 == 1
        interval = bootstrap(image_auroc, rng.normal(size=count) + faulty, faulty, rounds=200)
        assert interval.low < interval.value < interval.high
        widths.append(interval.high - interval.low)
    assert widths[1] < widths[0] / 2


def test_a_box_holds_the_centre_of_the_largest_fault():
    mask = np.zeros((20, 20), bool)
    mask[2:8, 2:8] = True
    mask[15, 15] = True
    assert box_holds((3, 3, 4, 4), mask)
    assert not box_holds((14, 14, 3, 3), mask)


def test_what_can_not_be_measured_is_refused():
    with pytest.raises(ValueError, match="good and faulty"):
        image_auroc(np.ones(3), np.ones(3, bool))
    with pytest.raises(ValueError, match="good and faulty"):
        PixelMeasures(0, 1).auroc()
    with pytest.raises(ValueError, match="does not fit"):
        PixelMeasures(0, 1).add(np.zeros((3, 3)), np.zeros((2, 3), bool))
    with pytest.raises(ValueError, match="no values"):
        PixelMeasures(1, 1)
    with pytest.raises(ValueError, match="no fault"):
        box_holds((0, 0, 1, 1), np.zeros((3, 3), bool))
