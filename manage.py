#!/usr/bin/env python
"""Django's command line, with the embedded PostgreSQL and Redis running while a command needs them."""

import os
import sys

#: Commands that touch no database, or (serve) start the servers themselves.
WITHOUT_SERVICES = {
    *("help", "version", "settings_table", "spectacular", "collectstatic", "check", "diffsettings", "serve"),
    *("makemessages", "compilemessages", "startapp", "findstatic"),
    *("draw_faults", "fetch_weights", "train_faultnet"),
}


#: Their commands find the tables there, also before the first start of the server.
OWN_APPS = {"cases", "vision"}


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "faultdiag.settings")
    import django
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line, get_commands

    # Refuse a wrong setting before anything else, with a sentence and no traceback.
    from faultdiag.embedded import ensure_services, name_services
    from faultdiag.environment import load_environment
    from faultdiag.processes import Refused

    try:
        data = load_environment().data
        if _needs_services(sys.argv):
            ensure_services(data)
        else:
            name_services(data)
        settings.DEBUG  # noqa: B018 (reads the settings)
        if _needs_services(sys.argv):
            django.setup()
            if get_commands().get(sys.argv[1]) in OWN_APPS:
                _check_database()
    except (Refused, ImproperlyConfigured) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    execute_from_command_line(sys.argv)
    return 0


def _check_database() -> None:
    from faultdiag.installation import database_check

    if applied := database_check():
        sys.stderr.write(f"A new database: {applied} migrations applied\n")


def _needs_services(arguments: list[str]) -> bool:
    command = arguments[1] if len(arguments) > 1 else "help"
    if command == "check" and "--database" in arguments:
        return True
    if command == "measure" and "--library" not in arguments:
        return False
    return command not in WITHOUT_SERVICES and not {"-h", "--help", "--version"} & set(arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
