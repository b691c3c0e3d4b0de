"""What is refused before any page looks at it, and what any page may find away."""

from django.core.exceptions import BadRequest
from django.shortcuts import render

from cases.storages import StorageAway


def refuse_nul(get_response):
    """Answer 400 to pages' addresses with a NUL character, which PostgreSQL can't search for.

    The API says so itself, in its own form of errors; forms say it beside the field.
    """

    def middleware(request):
        parameters = "".join(text for pair in request.GET.lists() for text in (pair[0], *pair[1]))
        if "\x00" in request.path + parameters and not request.path.startswith("/api/"):
            raise BadRequest("The address has a NUL character.")
        return get_response(request)

    return middleware


def tell_storage_away(get_response):
    """Answer 503 with the reason when a page needs the storage of the pictures and it does not work."""

    def middleware(request):
        return get_response(request)

    def process_exception(request, exception):
        if isinstance(exception, StorageAway):
            return render(request, "503.html", {"exception": exception}, status=503)
        return None

    middleware.process_exception = process_exception
    return middleware
