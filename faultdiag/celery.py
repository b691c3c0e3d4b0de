"""The Celery application."""

import logging.config
import os
import signal

from celery import Celery
from celery.signals import celeryd_init, setup_logging, worker_process_init

from faultdiag.processes import die_with_parent

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "faultdiag.settings")

app = Celery("faultdiag")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# Also for threads and tools that never met this module: tasks are sent through this application.
app.set_default()


@setup_logging.connect
def log_like_django(**kwargs):
    """Workers write the same lines as the web process."""
    from django.conf import settings

    logging.config.dictConfig(settings.LOGGING)


@celeryd_init.connect
def tie_pool_to_worker(**kwargs):
    """A worker that is killed takes the processes of its pool along."""
    bind = die_with_parent(signal.SIGKILL)
    worker_process_init.connect(lambda **kwargs: bind(), weak=False)
