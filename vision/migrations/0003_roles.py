"""The groups that come with the product. It only adds: what a customer gives a group besides stays."""

from django.apps import apps as installed
from django.contrib.auth.management import create_permissions
from django.db import migrations

KNOWLEDGE = {
    "cases": [
        "actiontaken", "case", "caseimage", "casetransition", "categoryexample", "correctiveaction", "customer",
        "faultcategory", "imagefile", "job", "label", "part", "resolution", "site", "supplier", "whystep",
    ],
    "vision": ["decision", "diagnosis", "embeddingspace"],
}  # fmt: skip

VIEWER = {f"{app}.view_{model}" for app, models in KNOWLEDGE.items() for model in models}
ENGINEER = VIEWER | {
    "cases.add_case",
    "cases.change_case",
    "cases.add_caseimage",
    "cases.change_caseimage",
    "cases.add_label",
    "cases.add_resolution",
    "cases.change_resolution",
    "cases.add_actiontaken",
    "cases.change_actiontaken",
    "cases.delete_actiontaken",
    "cases.add_whystep",
    "cases.change_whystep",
    "cases.delete_whystep",
    "vision.add_decision",
    "vision.add_diagnosis",
}
KNOWLEDGE_MANAGER = (
    ENGINEER
    | {"cases.import_case"}
    | {
        f"cases.{verb}_{model}"
        for verb in ("add", "change", "delete")
        for model in ("categoryexample", "correctiveaction", "faultcategory", "part")
    }
    | {f"cases.{verb}_{model}" for verb in ("add", "change") for model in ("customer", "site", "supplier")}
)
INTEGRATION = VIEWER | {"cases.add_case", "cases.add_caseimage"}

GROUPS = {
    "Viewer": VIEWER,
    "Engineer": ENGINEER,
    "Knowledge manager": KNOWLEDGE_MANAGER,
    "Integration": INTEGRATION,
}


def add_groups(apps, schema_editor):
    database = schema_editor.connection.alias
    # Django makes permissions after the last migration; in a fresh database there are none yet.
    for label in KNOWLEDGE:
        create_permissions(installed.get_app_config(label), verbosity=0, using=database)
    Permission = apps.get_model("auth", "Permission")
    rows = {
        f"{permission.content_type.app_label}.{permission.codename}": permission
        for permission in Permission.objects.using(database)
        .filter(content_type__app_label__in=list(KNOWLEDGE))
        .select_related("content_type")
    }
    for name, wanted in GROUPS.items():
        group, _ = apps.get_model("auth", "Group").objects.using(database).get_or_create(name=name)
        group.permissions.add(*(rows[permission] for permission in sorted(wanted)))


def take_groups(apps, schema_editor):
    """Take the permissions back, and the groups that nobody uses and that have no others."""
    database = schema_editor.connection.alias
    Permission = apps.get_model("auth", "Permission")
    for name, given in GROUPS.items():
        group = apps.get_model("auth", "Group").objects.using(database).filter(name=name).first()
        if group is None:
            continue
        for permission in given:
            label, codename = permission.split(".")
            group.permissions.remove(
                *Permission.objects.using(database).filter(content_type__app_label=label, codename=codename)
            )
        if not group.permissions.exists() and not group.user_set.exists():
            group.delete()


class Migration(migrations.Migration):
    dependencies = [
        ("vision", "0002_label_trigger"),
        ("cases", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]
    operations = [migrations.RunPython(add_groups, take_groups)]
