from django.apps import AppConfig


class CasesConfig(AppConfig):
    """What is known: catalogue, cases, images, labels, resolutions, corrective actions."""

    name = "cases"
    verbose_name = "Knowledge base"
