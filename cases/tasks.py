"""Celery tasks of cases: long work behind a Job row."""

from celery import shared_task

from cases.services.folder_import import folder_import_run
from cases.services.jobs import job_run
from cases.storages import StorageAway


@shared_task(throws=(StorageAway,))
def import_folder(job_id: int) -> None:
    """Import a folder of pictures; may run any number of times."""
    with job_run(job_id) as progress:
        if progress is not None:
            folder_import_run(progress)
