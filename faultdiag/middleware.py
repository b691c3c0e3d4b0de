"""What is refused before any page looks at it."""

from django.core.exceptions import BadRequest


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
