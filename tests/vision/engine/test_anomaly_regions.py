"""Regions of a map: boxes in pixels, highest first."""

import numpy as np

from vision.engine.anomaly_regions import Region, anomaly_regions, hottest_region


def test_boxes_areas_and_peaks():
    anomaly = np.zeros((20, 30), np.float32)
    anomaly[2:5, 3:10] = 1.5
    anomaly[3, 4] = 2
    anomaly[10:12, 20:22] = 3
    assert anomaly_regions(anomaly, 0.5) == [
        Region((20, 10, 2, 2), 4, 3.0, (20, 10), ((20, 10), (20, 11), (21, 11), (21, 10))),
        Region((3, 2, 7, 3), 21, 2.0, (4, 3), ((3, 2), (3, 4), (9, 4), (9, 2))),
    ]


def test_parts_that_touch_at_a_corner_are_one():
    anomaly = np.eye(6, dtype=np.float32)
    assert [region.area for region in anomaly_regions(anomaly, 0.5)] == [6]


def test_a_region_reaches_down_to_half_of_its_peak_but_not_into_what_is_usual():
    slope = np.tile(np.float32([0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0]), (3, 1))
    (region,) = anomaly_regions(slope, 4.5, low=0.5)
    assert region.box == (3, 0, 5, 3)
    (region,) = anomaly_regions(slope, 4.5, low=3.5)
    assert region.box == (4, 0, 3, 3)
    (region,) = anomaly_regions(slope, 1.5)
    assert region.box == (3, 0, 5, 3)


def test_two_peaks_of_one_region_are_told_once():
    ridge = np.tile(np.float32([0, 5, 3, 4.5, 0]), (3, 1))
    assert [region.box for region in anomaly_regions(ridge, 4, low=1)] == [(1, 0, 3, 3)]


def test_the_most_suspicious_are_kept():
    anomaly = np.zeros((9, 99), np.float32)
    anomaly[4, ::3] = 1 + np.arange(33)
    assert [region.peak for region in anomaly_regions(anomaly, 0.5, most=3)] == [33, 32, 31]


def test_what_is_far_under_the_highest_is_left_out():
    anomaly = np.zeros((3, 9), np.float32)
    anomaly[1, [1, 4, 7]] = 6, 3, 2.9
    assert [region.peak for region in anomaly_regions(anomaly, 1)] == [6, 3]


def test_nothing_above_the_level_is_no_region():
    assert anomaly_regions(np.ones((4, 4), np.float32), 1.0) == []


def test_the_hottest_place_has_a_region_even_where_it_is_usual():
    slope = np.tile(np.float32([0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0]), (3, 1))
    assert hottest_region(slope, low=0.5) == anomaly_regions(slope, 4.5, low=0.5)[0]
    assert hottest_region(slope, low=9).box == (3, 0, 5, 3)
    assert hottest_region(np.zeros((3, 4), np.float32), low=1).box == (0, 0, 4, 3)
