"""A job is claimed once, reports, fails with a sentence, and comes back after a crash."""

import datetime as dt

import pytest
from django.utils import timezone

from cases.models import Job
from cases.services.jobs import SILENCE, job_run, jobs_recover
from cases.storages import StorageAway

pytestmark = pytest.mark.django_db


@pytest.fixture
def job():
    return Job.objects.create(kind="tests.cases.test_jobs.recorder")


class Recorder:
    """Stands where a job's task is looked up: keeps what it was asked to run."""

    def __init__(self):
        self.called = []

    def delay(self, job_id):
        self.called.append(job_id)


recorder = Recorder()


def test_a_job_reports_and_ends_with_its_result(job):
    with job_run(job.pk) as progress:
        progress.start(total=10, message="Reading")
        progress.advance(4, "Storing")
        job.refresh_from_db()
        assert (job.state, job.progress, job.total, job.message) == ("running", 4, 10, "Storing")
        progress.result["stored"] = 4
    job.refresh_from_db()
    assert (job.state, job.result) == ("done", {"stored": 4})
    assert job.finished_at is not None


def test_only_one_worker_gets_a_job(job):
    with job_run(job.pk) as first, job_run(job.pk) as second:
        assert first is not None
        assert second is None


def test_a_failure_stands_on_the_row(job):
    with pytest.raises(OSError, match="No space left"), job_run(job.pk):
        raise OSError("No space left on /data")
    job.refresh_from_db()
    assert (job.state, job.error) == ("failed", "No space left on /data")


def test_a_job_waits_for_the_storage_of_the_pictures(job, django_capture_on_commit_callbacks):
    Job.objects.update(progress=4)
    with pytest.raises(StorageAway), job_run(job.pk):
        raise StorageAway("s3://pictures could not be reached")
    job.refresh_from_db()
    assert (job.state, job.progress, job.error) == ("queued", 4, "")
    assert "storage of the pictures does not work" in job.message
    recorder.called.clear()
    Job.objects.update(created_at=timezone.now() - SILENCE - dt.timedelta(seconds=1))
    with django_capture_on_commit_callbacks(execute=True):
        assert jobs_recover() == 1
    assert recorder.called == [job.pk]


def test_a_job_that_went_silent_is_queued_and_claimed_again(job, django_capture_on_commit_callbacks):
    recorder.called.clear()
    silent = timezone.now() - SILENCE - dt.timedelta(seconds=1)
    Job.objects.update(state="running", heartbeat_at=silent, progress=3)
    with django_capture_on_commit_callbacks(execute=True):
        assert jobs_recover() == 1
    assert recorder.called == [job.pk]
    with job_run(job.pk) as progress:
        assert progress is not None


def test_a_job_that_works_is_left_alone(job, django_capture_on_commit_callbacks):
    recorder.called.clear()
    Job.objects.update(state="running", heartbeat_at=timezone.now())
    with django_capture_on_commit_callbacks(execute=True):
        assert jobs_recover() == 0
    assert recorder.called == []


def test_a_clock_set_back_does_not_keep_a_lost_job_from_coming_back(job, django_capture_on_commit_callbacks):
    recorder.called.clear()
    waiting = Job.objects.create(kind=job.kind)
    ahead = timezone.now() + dt.timedelta(days=1)
    Job.objects.filter(pk=job.pk).update(state="running", heartbeat_at=ahead)
    Job.objects.filter(pk=waiting.pk).update(created_at=ahead)
    with django_capture_on_commit_callbacks(execute=True):
        assert jobs_recover() == 2
    assert sorted(recorder.called) == [job.pk, waiting.pk]
    with job_run(job.pk) as progress:
        assert progress is not None
    # Two machines need not agree to the second.
    Job.objects.update(state="running", heartbeat_at=timezone.now() + SILENCE)
    assert jobs_recover() == 0
