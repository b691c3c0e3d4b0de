"""The Celery application."""

import logging.config
import os

from celery import Celery
from celery.signals import setup_logging

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
