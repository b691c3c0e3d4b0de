"""An inspector learns from good parts, says what it can promise, and serves on whatever happens meanwhile."""

import resource
from datetime import timedelta
from statistics import median

import pytest
from django.db import Error, transaction
from django.utils import timezone

from cases.models import Job
from cases.services.intake import Picture
from cases.services.jobs import SILENCE, JobProgress, jobs_recover
from tests.hostile import saved
from tests.vision.inspected import new_inspector, plate, plate_picture, train
from vision.engine.backbones import WeightsError
from vision.engine.rejection import RejectionRule
from vision.models import InspectorVersion
from vision.models.inspection import HoldOut, Rule
from vision.services.inspection.inspecting import pictures_inspect
from vision.services.inspection.inspectors import inspector_change
from vision.services.inspection.pictures import inspector_picture_add
from vision.services.inspection.training import (
    TrainingRefused,
    inspector_train,
    inspector_train_start,
    inspector_training,
)
from vision.services.inspection.versions import (
    InspectorUnusable,
    version_activate,
    version_active,
    version_folder,
    version_number_next,
    versions_forget,
)
from vision.tasks import train_inspector

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_folder(settings, tmp_path):
    settings.FAULTDIAG_DATA = tmp_path


def test_a_version_holds_all_that_it_rests_on(inspector):
    version = version_active(inspector)
    shas = list(inspector.pictures.fitted().values_list("file__sha256", flat=True))
    assert version.learned_from == shas, "held out in turns, and learned from in the end"
    assert version.held_out == []
    assert len(version.good_scores) == len(shas)
    assert version.good_scores == sorted(version.good_scores)
    assert version.threshold == RejectionRule("conformal", alpha=0.1).fit(version.good_scores).threshold_
    assert version.reason.startswith(f"Threshold {version.threshold:.3f}: about 0.1 of good parts")
    assert version.is_grey
    assert version.parameters["coarse"]["bank_size"] > 0
    assert version.level > 0
    assert version.foreign_from > 1


def test_too_few_parts_give_a_version_that_says_how_many_are_missing_and_decides_nothing():
    inspector = new_inspector(good=3, alpha=0.01)
    version = train(inspector)
    assert version.threshold is None
    assert "needs 99 held-out good parts, and there are 3: 96 are missing." in version.reason
    (row,) = pictures_inspect(inspector, [plate_picture(50, (60, 80))])
    assert (row.verdict, row.threshold) == ("undecided", None)
    assert version.reason in row.notes
    assert row.score > max(version.good_scores)


@pytest.mark.parametrize("rule", [Rule.DEVIATIONS, Rule.PERCENTILE])
def test_a_rule_without_a_promise_needs_no_more_and_says_so(rule):
    version = train(new_inspector(good=3, alpha=0.01, rule=rule))
    expected = RejectionRule(rule, alpha=0.01).fit(version.good_scores).threshold_
    assert version.threshold == pytest.approx(expected)
    assert "no promise" in version.reason


def test_split_holds_parts_out_for_good_and_names_the_right_picture_as_evidence():
    inspector = new_inspector(good=9, alpha=0.25, rule=Rule.SPLIT)
    version = train(inspector)
    assert len(version.held_out) == len(version.good_scores) == 3
    assert not set(version.held_out) & set(version.learned_from)
    assert len(version.learned_from) == 6
    assert version.threshold == max(version.good_scores)
    named = 0
    for row in inspector.pictures.fitted().select_related("file"):
        seed = int(row.name.removeprefix("plate").removesuffix(".png"))
        (seen,) = pictures_inspect(inspector, [plate_picture(seed)])
        for patch in seen.nearest:
            assert patch["sha256"] in version.learned_from
            x, y, width, height = patch["box"]
            assert 0 <= x < x + width <= row.file.width
            assert 0 <= y < y + height <= row.file.height
        named += seen.nearest[0]["sha256"] == row.file.sha256
    assert named >= 5, "of a picture in the bank, the nearest patch is its own, unless the bank has too few"


def test_split_with_too_few_parts_scores_in_turns_and_promises_nothing():
    version = train(new_inspector(good=4, alpha=0.1, rule=Rule.SPLIT))
    assert version.threshold is None
    assert len(version.good_scores) == len(version.learned_from) == 4
    assert "there are 2: 7 are missing" in version.reason


def twice(**fields):
    """Four parts, each photographed twice: the second time in other light."""
    inspector = new_inspector(good=0, **fields)
    for seed in range(4):
        for light in (0, 9):
            data = saved(plate(seed).point(lambda value, more=light: value + more), "PNG")
            inspector_picture_add(inspector, Picture(f"{seed}-{light}.png", data))
    return inspector


def test_held_out_pictures_of_known_parts_look_better_than_new_parts():
    parts = train(twice(name="Parts"))
    pictures = train(twice(name="Pictures", hold_out=HoldOut.PICTURES))
    assert median(pictures.good_scores) < 0.8 * min(parts.good_scores)


def test_a_version_sees_at_the_resolution_that_it_learned_at():
    rows = {}
    for resolution in (256, 512):
        inspector = new_inspector(name=f"At {resolution}", good=4, resolution=resolution)
        assert train(inspector).resolution == resolution
        inspector_change(inspector, resolution=300)
        (seen,) = pictures_inspect(inspector, [plate_picture(9)])
        rows[resolution] = seen.grid_rows
    assert rows[512] == pytest.approx(2 * rows[256], abs=2)


def test_one_good_picture_or_none_is_refused():
    with pytest.raises(TrainingRefused, match="has no pictures of good parts: add 2 or more"):
        inspector_train_start(new_inspector(good=0))
    inspector = new_inspector("Other", good=1)
    with pytest.raises(TrainingRefused, match="has 1 picture of good parts: add 1 or more"):
        inspector_train_start(inspector)
    assert not Job.objects.exists()


def test_pictures_of_one_part_alone_are_refused():
    inspector = new_inspector(good=0)
    for light in range(3):
        data = saved(plate(1).point(lambda value, more=light: value + 5 * more), "PNG")
        inspector_picture_add(inspector, Picture(f"{light}.png", data))
    with pytest.raises(TrainingRefused, match="All 3 good pictures of Plate show the same part"):
        train(inspector)
    assert not inspector.versions.exists()
    assert "same part" in Job.objects.get().error


def test_parts_without_any_grain_are_learned_too():
    """Overexposed or drawn by a computer: all patches are equal, and nothing becomes infinite."""
    inspector = new_inspector(good=0, rule=Rule.DEVIATIONS)
    for side in (40, 48, 56, 64):
        data = saved(plate(0).convert("L").point(lambda value: 255).resize((160, side)), "PNG")
        inspector_picture_add(inspector, Picture(f"{side}.png", data))
    version = train(inspector)
    good, bad = pictures_inspect(inspector, [Picture("white.png", data), plate_picture(3)])
    assert good.verdict == "pass"
    assert bad.verdict == "fail"
    assert version.threshold < bad.score < float("inf")


def test_a_second_training_waits_for_the_first():
    inspector = new_inspector(good=3)
    job = inspector_train_start(inspector)
    with pytest.raises(TrainingRefused, match=f"being trained already \\(job {job.pk}\\)"):
        inspector_train_start(inspector)


def test_a_second_version_does_not_serve_until_it_is_activated(inspector):
    first = version_active(inspector)
    inspector.pictures.filter(pk__in=inspector.pictures.values("pk")[3:]).delete()
    second = train(inspector)
    assert (second.number, second.state) == (2, "ready")
    assert version_active(inspector) == first
    version_activate(second)
    assert version_active(inspector) == second
    first.refresh_from_db()
    assert first.state == "retired"
    version_activate(first)
    assert version_active(inspector) == first


def test_what_a_killed_worker_left_is_taken_up_and_the_old_version_serves_on(
    inspector, django_capture_on_commit_callbacks
):
    first = version_active(inspector)
    inspector.pictures.filter(pk__in=inspector.pictures.values("pk")[3:]).delete()
    job = inspector_train_start(inspector, enqueue=False)
    silent = timezone.now() - SILENCE - timedelta(seconds=1)
    Job.objects.update(state=Job.State.RUNNING, heartbeat_at=silent, progress=97, total=100)
    half = version_folder(inspector, 2)
    half.mkdir()
    (half / "bank.npy").write_bytes(b"half")
    with django_capture_on_commit_callbacks() as told:
        assert jobs_recover() == 1
    assert len(told) == 1
    assert inspector_training(inspector) == job
    (row,) = pictures_inspect(inspector, [plate_picture(60)])
    assert row.version == first
    train_inspector(job.pk)
    job.refresh_from_db()
    assert (job.state, job.progress) == (Job.State.DONE, 100)
    assert job.result["number"] == 2
    assert job.message.startswith("Plate v2 is trained. No verdicts: ")
    assert version_active(inspector) == first
    version_activate(inspector.versions.get(number=2))
    assert pictures_inspect(inspector, [plate_picture(60)])[0].version.number == 2


def test_two_workers_with_one_job_make_one_version():
    inspector = new_inspector(good=2)
    job = inspector_train_start(inspector, enqueue=False)
    made = []

    def second_worker(done, total, message):
        if not made:
            made.append(None)
            made[0] = inspector_train(JobProgress(job))

    assert inspector_train(JobProgress(job, second_worker)) == made[0]
    assert inspector.versions.count() == 1
    assert inspector_train(JobProgress(job)) == made[0]


def test_a_full_disk_leaves_nothing_half_written(inspector):
    first = version_active(inspector)
    inspector.pictures.filter(pk__in=inspector.pictures.values("pk")[2:]).delete()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))  # no file may grow beyond
    try:
        with pytest.raises(OSError, match=r"written|large"):
            train(inspector)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert Job.objects.get().state == Job.State.FAILED
    assert list(inspector.versions.all()) == [first]
    folders = version_folder(inspector, 1).parent
    assert [path.name for path in folders.iterdir()] == ["1"]
    versions_forget()
    assert pictures_inspect(inspector, [plate_picture(60)])[0].version == first


def test_a_damaged_folder_is_told_with_what_to_do(inspector):
    version = version_active(inspector)
    bank = version_folder(inspector, 1) / "fine" / "bank.npy"
    bank.write_bytes(bank.read_bytes()[:-100])
    versions_forget()
    for use in (lambda: pictures_inspect(inspector, [plate_picture(60)]), lambda: version_activate(version)):
        with pytest.raises(InspectorUnusable, match=r"bytes instead of .* Train the inspector again"):
            use()
    bank.unlink()
    with pytest.raises(InspectorUnusable, match=r"Plate v1 can't be opened: .*bank.npy"):
        pictures_inspect(inspector, [plate_picture(60)])


def test_without_a_version_people_hear_what_to_do(inspector):
    with pytest.raises(InspectorUnusable, match="has not been trained yet: give it pictures of good parts"):
        version_active(new_inspector("New", good=0))
    inspector.versions.update(state="retired")
    with pytest.raises(InspectorUnusable, match="No version of Plate is active"):
        version_active(inspector)


def test_weights_that_are_gone_are_told(inspector):
    """A version looks with the network that it learned with, or not at all."""
    version = version_active(inspector)
    InspectorVersion.objects.filter(pk=version.pk).delete()
    version.pk, version.weights_sha256 = None, "0" * 64
    version.save()
    with pytest.raises(WeightsError, match="no longer here"):
        pictures_inspect(inspector, [plate_picture(60)])


@pytest.mark.parametrize("change", [{"threshold": 99.0}, {"good_scores": []}, {"learned_from": []}])
def test_a_version_can_t_be_changed_later(inspector, change):
    with pytest.raises(Error, match="Cannot update"), transaction.atomic():
        InspectorVersion.objects.update(**change)
    assert version_number_next(inspector) == 2
