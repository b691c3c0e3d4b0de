from django.apps import AppConfig


class FaultdiagConfig(AppConfig):
    """The frame: settings, addresses, background workers, health, the supervisor."""

    name = "faultdiag"
    verbose_name = "faultdiag"

    def ready(self):
        from faultdiag import celery  # noqa: F401  (tasks find the application)
