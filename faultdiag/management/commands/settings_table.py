"""manage.py settings_table: the table of settings for the README."""

from django.core.management.base import BaseCommand

from faultdiag.environment import variables


class Command(BaseCommand):
    help = "Print every setting of the environment as a Markdown table."
    requires_system_checks = []

    def handle(self, **options):
        self.stdout.write(settings_table())


def settings_table() -> str:
    """The Markdown table that stands between the settings markers of the README."""
    lines = ["| variable | default | meaning | values |", "|---|---|---|---|"]
    for name, (default, meaning, allowed) in sorted(variables().items()):
        shown = f"`{default}`" if default else ""
        lines.append(f"| `{name}` | {shown} | {meaning} | {allowed} |")
    return "\n".join(lines)
