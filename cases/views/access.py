"""Who may open a page: anonymous people log in, others are told what they lack."""

from functools import wraps

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied


def needs(permission: str, purpose: str):
    """Let a view through for people with `permission`; tell others that they may not `purpose`."""

    def decorate(view):
        @wraps(view)
        def guarded(request, *args, **kwargs):
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            if not request.user.has_perm(permission):
                raise PermissionDenied(
                    f"Your account {request.user.get_username()} may not {purpose}."
                    " Ask an administrator to add you to a group that may."
                )
            return view(request, *args, **kwargs)

        return guarded

    return decorate
