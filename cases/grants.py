"""Permissions that a migration gives to the groups which come with the product."""

from collections.abc import Mapping, Sequence

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db.migrations import RunPython


def grants(app: str, codenames: Mapping[str, Sequence[str]]) -> RunPython:
    """An operation that adds permissions of `app` to groups by name, and takes them back when undone.

    Groups that an installation has renamed or deleted are left as they are.
    """

    def rows(apps, schema_editor):
        database = schema_editor.connection.alias
        Permission = apps.get_model("auth", "Permission").objects.using(database)
        for name, wanted in codenames.items():
            group = apps.get_model("auth", "Group").objects.using(database).filter(name=name).first()
            if group:
                yield group, Permission.filter(content_type__app_label=app, codename__in=wanted)

    def give(apps, schema_editor):
        # Django makes permissions after the last migration; in a fresh database there are none yet.
        database = schema_editor.connection.alias
        create_permissions(installed.get_app_config(app), verbosity=0, using=database)
        for group, permissions in rows(apps, schema_editor):
            group.permissions.add(*permissions)

    def take(apps, schema_editor):
        for group, permissions in rows(apps, schema_editor):
            group.permissions.remove(*permissions)

    return RunPython(give, take)
