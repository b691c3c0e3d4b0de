"""How the OpenAPI description is written: a summary for every operation, and errors in their one shape."""

from drf_spectacular.openapi import AutoSchema
from rest_framework import status

from cases.api.errors import ProblemSerializer

_SUMMARIES = {
    "list": "List {many}",
    "retrieve": "Show one {one}",
    "create": "Create a {one}",
    "update": "Replace the fields of a {one}",
    "partial_update": "Change some fields of a {one}",
    "destroy": "Delete a {one}",
}
_ERRORS = {
    status.HTTP_400_BAD_REQUEST: "The request is wrong: `errors` says what, by field.",
    status.HTTP_401_UNAUTHORIZED: "Log in first: the token is missing, wrong or expired.",
    status.HTTP_403_FORBIDDEN: "The account lacks a permission, which the sentence names.",
    status.HTTP_404_NOT_FOUND: "There is no such record, or the account may not see it.",
    status.HTTP_409_CONFLICT: "What is stored stands against it.",
    status.HTTP_413_REQUEST_ENTITY_TOO_LARGE: "The request is too large.",
    status.HTTP_429_TOO_MANY_REQUESTS: "Too many requests: `Retry-After` says how many seconds to wait.",
    status.HTTP_503_SERVICE_UNAVAILABLE: "The storage of the pictures is away: try again in a minute.",
}


def without_slash(endpoints):
    """Addresses as links write them: the slash at the end, which is optional, is left out."""
    return [(path.rstrip("/"), regex, method, view) for path, regex, method, view in endpoints]


class ApiSchema(AutoSchema):
    def get_summary(self):
        model = getattr(getattr(self.view, "queryset", None), "model", None)
        pattern = _SUMMARIES.get(getattr(self.view, "action", None))
        if not (model and pattern):
            return super().get_summary()
        options = model._meta
        return pattern.format(one=options.verbose_name, many=options.verbose_name_plural)

    def _get_response_bodies(self, direction="response"):
        responses = super()._get_response_bodies(direction)
        problem = self.resolve_serializer(ProblemSerializer, direction)
        for code, description in _ERRORS.items():
            if self._may_answer(code):
                responses.setdefault(
                    str(code),
                    {"content": {"application/json": {"schema": problem.ref}}, "description": description},
                )
        return responses

    def _may_answer(self, code) -> bool:
        writes = self.method in ("POST", "PUT", "PATCH")
        if code == status.HTTP_400_BAD_REQUEST:
            return writes or self._is_list_view()
        if code == status.HTTP_413_REQUEST_ENTITY_TOO_LARGE:
            return writes
        if code == status.HTTP_409_CONFLICT:
            return writes or self.method == "DELETE"
        if code == status.HTTP_503_SERVICE_UNAVAILABLE:
            return self._touches_files()
        return code != status.HTTP_404_NOT_FOUND or "{" in self.path or self._is_list_view()

    def _touches_files(self) -> bool:
        action = getattr(self.view, "action", None)
        uploads = getattr(self.view, "throttle_scopes", {}).get(action) == "upload"
        return uploads or action in getattr(self.view, "file_actions", ())
