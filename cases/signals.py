"""What happens in `cases` that other rooms may want to know; `cases` itself knows none of them."""

from django.dispatch import Signal

#: Sent inside the transaction that stored the images, with case, images (list of CaseImage) and bulk (bool).
images_added = Signal()
