"""Every error in one shape: {"detail": sentence, "code": word, "errors": {field: [sentence, ...]}}."""

from collections import Counter
from collections.abc import Iterator

from django.conf import settings
from django.core.exceptions import (
    NON_FIELD_ERRORS,
    PermissionDenied,
    RequestDataTooBig,
    SuspiciousOperation,
    ValidationError,
)
from django.db import DataError, IntegrityError
from django.db.models import ProtectedError, RestrictedError
from django.http import Http404
from rest_framework import exceptions, serializers, status, views
from rest_framework.settings import api_settings

from cases.storages import StorageAway


class Conflict(exceptions.APIException):
    """The request is well formed, but what is stored stands against it."""

    status_code = status.HTTP_409_CONFLICT
    default_code = "conflict"


class TooLarge(exceptions.APIException):
    """The request has more bytes than are taken at once."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "too_large"


class Unavailable(exceptions.APIException):
    """Something that the server needs is away; the same request may succeed in a minute."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "storage_away"


class ProblemSerializer(serializers.Serializer):
    """An error."""

    detail = serializers.CharField(help_text="What happened, as a sentence.")
    code = serializers.CharField(help_text="The kind of error, for programs.")
    errors = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()),
        help_text="Sentences by field; nested fields are joined by dots, as in why_steps.0.answer.",
    )


def exception_handler(exc: Exception, context: dict):
    """The answer to an exception, None for those that are faults of ours (they become a 500)."""
    problem = _translate(exc)
    response = views.exception_handler(problem, context)
    if response is not None:
        response.data = _present(problem)
    return response


def _translate(exc: Exception) -> Exception:
    """What Django and its database raise for bad input, as the API's own exceptions."""
    if isinstance(exc, ValidationError):
        return _validation_error(exc)
    if isinstance(exc, Http404):
        return exceptions.NotFound(*exc.args)
    if isinstance(exc, PermissionDenied):
        return exceptions.PermissionDenied(*exc.args)
    if isinstance(exc, ProtectedError | RestrictedError):
        return Conflict(_in_use(exc))
    if isinstance(exc, IntegrityError):
        return Conflict("Another request stored the same at the same moment: read it again, then repeat.")
    if isinstance(exc, DataError):
        return exceptions.ValidationError("The request has a value that can't be stored or searched for.")
    if isinstance(exc, RequestDataTooBig):
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE / 2**20
        return TooLarge(f"The request has more than {most:g} MiB without its files: send less at once.")
    if isinstance(exc, StorageAway):
        return Unavailable(str(exc))
    if isinstance(exc, SuspiciousOperation):
        return exceptions.ParseError(str(exc) or None)
    return exc


def _validation_error(exc: ValidationError) -> exceptions.ValidationError:
    by_field = exc.message_dict if hasattr(exc, "error_dict") else {NON_FIELD_ERRORS: exc.messages}
    named = {
        api_settings.NON_FIELD_ERRORS_KEY if field == NON_FIELD_ERRORS else field: sentences
        for field, sentences in by_field.items()
    }
    # The guard of pictures says in a word which of its rules was broken.
    return exceptions.ValidationError(named, code=getattr(exc.__cause__, "code", None))


def _in_use(exc: ProtectedError | RestrictedError) -> str:
    users = getattr(exc, "protected_objects", None) or exc.restricted_objects
    counts = Counter(user._meta for user in users)
    listed = ", ".join(
        f"{count} {options.verbose_name if count == 1 else options.verbose_name_plural}"
        for options, count in counts.items()
    )
    return f"It can't be deleted while it is used by {listed}. Deprecate it, or change those first."


def _present(exc: exceptions.APIException) -> dict:
    if not isinstance(exc, exceptions.ValidationError):
        return {"detail": str(exc.detail), "code": exc.get_codes(), "errors": {}}
    errors: dict[str, list[str]] = {}
    codes = []
    for field, sentence in _flatten(exc.detail):
        # A sentence may quote what was sent, even what no encoding has.
        errors.setdefault(field, []).append(sentence.encode(errors="replace").decode())
        codes.append(sentence.code)
    field, sentences = next(iter(errors.items()))
    general = field == api_settings.NON_FIELD_ERRORS_KEY
    return {
        "detail": sentences[0] if general else f"{field}: {sentences[0]}",
        "code": codes[0],
        "errors": errors,
    }


def _flatten(detail, path: str = "") -> Iterator[tuple[str, exceptions.ErrorDetail]]:
    if isinstance(detail, dict):
        for name, inner in detail.items():
            yield from _flatten(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(detail, list):
        for place, inner in enumerate(detail):
            nested = isinstance(inner, dict | list)
            yield from _flatten(inner, f"{path}.{place}" if nested and path else path)
    else:
        general = api_settings.NON_FIELD_ERRORS_KEY
        yield path.removesuffix(f".{general}") or general, detail
