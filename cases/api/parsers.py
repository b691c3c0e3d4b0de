"""Bodies of requests, refused by their announced length before a byte is read."""

from django.conf import settings
from rest_framework import exceptions, parsers, status

from cases.services.intake import image_limits

_FORM_FIELDS = 1024 * 1024


class TooLarge(exceptions.APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


def _check_length(parser_context, most: int) -> None:
    length = int(parser_context["request"].META.get("CONTENT_LENGTH") or 0)
    if length > most:
        raise TooLarge(
            f"The request has {length / 2**20:.1f} MiB, and at most {most / 2**20:g} MiB are taken at once."
            " Send fewer or smaller files."
        )


class JSONParser(parsers.JSONParser):
    def parse(self, stream, media_type=None, parser_context=None):
        _check_length(parser_context, settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
        return super().parse(stream, media_type, parser_context)


class MultiPartParser(parsers.MultiPartParser):
    """Forms with files: as many as a case takes, each of the greatest size."""

    def parse(self, stream, media_type=None, parser_context=None):
        limits = image_limits()
        _check_length(parser_context, limits.max_files * limits.max_bytes + _FORM_FIELDS)
        return super().parse(stream, media_type, parser_context)
