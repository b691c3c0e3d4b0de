from django.apps import AppConfig


class VisionConfig(AppConfig):
    """What is seen: embeddings, similarity library, diagnoses."""

    name = "vision"
    verbose_name = "Vision"

    def ready(self):
        from vision import receivers  # noqa: F401  (connects the receivers)
