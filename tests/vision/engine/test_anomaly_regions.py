"""Regions of a map: boxes in pixels, highest first."""

import numpy as np

from vision.engine.anomaly_regions import Region, anomaly_regions


def test_boxes_areas_and_peaks():
    anomaly = np.zeros((20, 30), np.float32)
    anomaly[2:5, 3:10] = 1
    anomaly[3, 4] = 2
    anomaly[10:12, 20:22] = 5
    assert anomaly_regions(anomaly, 0.5) == [
        Region((20, 10, 2, 2), 4, 5.0, (20, 10), ((20, 10), (20, 11), (21, 11), (21, 10))),
        Region((3, 2, 7, 3), 21, 2.0, (4, 3), ((3, 2), (3, 4), (9, 4), (9, 2))),
    ]


def test_parts_that_touch_at_a_corner_are_one():
    anomaly = np.eye(6, dtype=np.float32)
    assert [region.area for region in anomaly_regions(anomaly, 0.5)] == [6]


def test_the_most_suspicious_are_kept():
    anomaly = np.zeros((9, 99), np.float32)
    anomaly[4, ::3] = 1 + np.arange(33)
    assert [region.peak for region in anomaly_regions(anomaly, 0.5, most=3)] == [33, 32, 31]


def test_nothing_above_the_level_is_no_region():
    assert anomaly_regions(np.ones((4, 4), np.float32), 1.0) == []
