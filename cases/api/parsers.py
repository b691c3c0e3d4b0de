"""Forms with files, refused by their announced length before a byte is read."""

from rest_framework import parsers

from cases.api.errors import TooLarge
from cases.services.intake import image_limits

_FORM_FIELDS = 1024 * 1024


class MultiPartParser(parsers.MultiPartParser):
    """Takes as many files as a case takes, each of the greatest size."""

    def parse(self, stream, media_type=None, parser_context=None):
        limits = image_limits()
        most = limits.max_files * limits.max_bytes + _FORM_FIELDS
        length = int(parser_context["request"].META.get("CONTENT_LENGTH") or 0)
        if length > most:
            raise TooLarge(
                f"The request has {length / 2**20:.1f} MiB, and at most {most / 2**20:g} MiB are taken."
                " Send fewer or smaller files."
            )
        return super().parse(stream, media_type, parser_context)
