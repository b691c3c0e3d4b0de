"""Where vision hears of what happens in cases."""

from django.dispatch import receiver

from cases.signals import images_added
from vision.services.diagnosis import case_process_enqueue
from vision.services.embedding import pending_enqueue


@receiver(images_added, dispatch_uid="vision.images_added")
def look_at_new_images(sender, case, bulk, **kwargs):
    """People wait for their case; imports wait their turn."""
    if bulk:
        pending_enqueue()
    else:
        case_process_enqueue(case)
