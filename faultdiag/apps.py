from django.apps import AppConfig


class FaultdiagConfig(AppConfig):
    """The frame: settings, addresses, background workers, health, the supervisor."""

    name = "faultdiag"
    verbose_name = "faultdiag"

    def ready(self):
        from faultdiag import celery, checks  # noqa: F401  (tasks find the application, Django the checks)
