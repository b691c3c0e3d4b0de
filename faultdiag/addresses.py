"""DATABASE_URL and REDIS_URL in the forms that Django and Celery take."""

from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from psycopg.conninfo import conninfo_to_dict

from faultdiag.processes import Refused


def django_database(url: str) -> dict[str, Any]:
    """The DATABASES entry of a libpq address; what Django has no key for goes into its OPTIONS."""
    try:
        parts = conninfo_to_dict(url)
    except Exception as error:
        raise Refused(
            "DATABASE_URL can't be read: give postgresql://user:password@host:port/name."
        ) from error
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname", "faultdiag"),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": str(parts.pop("port", "")),
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": parts,
    }


def celery_redis(url: str) -> str:
    """A redis-py address as Celery takes it: only Unix sockets differ (unix:///path?db=1)."""
    parts = urlsplit(url)
    if parts.scheme != "unix":
        return url
    database = parse_qs(parts.query).get("db", ["0"])[0]
    return f"redis+socket://{unquote(parts.path)}?virtual_host={database}"
