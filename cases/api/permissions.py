"""Who may call what: Django's model permissions, also for reading."""

from rest_framework.permissions import BasePermission

_VERBS = {
    "list": "view",
    "retrieve": "view",
    "create": "add",
    "update": "change",
    "partial_update": "change",
    "destroy": "delete",
}


class RequiredPermissions(BasePermission):
    """Lets a request through when the user has every permission that the view's action needs.

    A view set names those of its own actions in `action_permissions`; the standard actions need the view,
    add, change or delete permission of its model. A plain view names them in `required_permissions`.
    """

    def has_permission(self, request, view) -> bool:
        if not (request.user and request.user.is_authenticated):
            return False
        missing = [name for name in required_permissions(view) if not request.user.has_perm(name)]
        if missing:
            self.message = (
                f"Your account {request.user.get_username()} lacks the permission {missing[0]}."
                " Ask an administrator to add you to a group that has it."
            )
        return not missing


def required_permissions(view) -> list[str]:
    """Permissions such as "cases.view_case" that the present request to a view needs."""
    if not hasattr(view, "action"):
        return view.required_permissions
    if view.action is None:
        return []  # a method that the view doesn't have: the answer is 405
    if view.action in getattr(view, "action_permissions", {}):
        return view.action_permissions[view.action]
    options = view.queryset.model._meta
    return [f"{options.app_label}.{_VERBS[view.action]}_{options.model_name}"]
