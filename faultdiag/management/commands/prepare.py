"""manage.py prepare: bring the database and the collected files up to date, before web and workers start."""

from django.core.management.base import BaseCommand

from faultdiag.installation import database_migrate, static_files_collect


class Command(BaseCommand):
    help = "Apply migrations and collect scripts and styles; quick when there is nothing to do."
    requires_system_checks = []

    def handle(self, **options):
        applied = database_migrate()
        self.stdout.write(f"Database: {f'{applied} migrations applied' if applied else 'up to date'}")
        collected = static_files_collect()
        self.stdout.write(f"Scripts and styles: {'collected' if collected else 'up to date'}")
