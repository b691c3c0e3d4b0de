"""Commands that watch a job: the work is a worker's, the terminal shows its progress."""

import time
from typing import TextIO

from django.core.management.base import CommandError
from tqdm import tqdm

from cases.models import Job

_LOOK_EVERY = 0.5
#: Seconds after which a job that nobody has taken is spoken of.
_PATIENCE = 20


def job_watch(job: Job, out: TextIO) -> None:
    """Show a progress bar until the job is over, then its message. Raises CommandError when it failed."""
    started = time.monotonic()
    with tqdm(desc=f"Job {job.pk}") as bar:
        while not job.is_over:
            bar.total = job.total or None
            bar.update(job.progress - bar.n)
            if job.started_at is None and time.monotonic() - started > _PATIENCE:
                bar.close()
                raise CommandError(
                    f"Job {job.pk} waits: no worker has taken it yet. Start the server with"
                    " script/server, or look at the library page, where its progress is shown as well."
                )
            time.sleep(_LOOK_EVERY)
            job.refresh_from_db()
        bar.total = job.total
        bar.update(job.progress - bar.n)
    if job.state == Job.State.FAILED:
        raise CommandError(f"Job {job.pk} failed: {job.error}")
    out.write(job.message)
