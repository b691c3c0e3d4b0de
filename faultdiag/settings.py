"""Django's settings. What an operator may choose comes from faultdiag.environment."""

import os
from datetime import timedelta

import pghistory
from celery.schedules import crontab
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from faultdiag import addresses, picture_storage
from faultdiag.environment import BASE_DIR, environment, secret_key
from faultdiag.processes import Refused

try:
    _env = environment()
    SECRET_KEY = secret_key(_env.secret_key, _env.data, debug=_env.debug)
    if not (_env.database_url and _env.redis_url):
        raise Refused(
            "DATABASE_URL and REDIS_URL are not both set: start through script/server or manage.py, "
            "which run servers of their own, or name your servers."
        )
    _pictures = picture_storage.storages(_env)
except Refused as _refused:
    raise ImproperlyConfigured(str(_refused)) from None

FAULTDIAG_DATA = _env.data
DEBUG = _env.debug
# "localhost" in any case: health checks call it so.
ALLOWED_HOSTS = [*_env.allowed_hosts, "localhost"]
CSRF_TRUSTED_ORIGINS = _env.csrf_trusted_origins

# What the product decides with (cases.services.intake, vision.services).
MAX_IMAGE_BYTES = _env.max_image_mb * 2**20
MAX_IMAGE_PIXELS = _env.max_image_pixels
BACKBONE = _env.backbone
METRIC = _env.metric
THREADS = _env.threads
# OpenMP reads it when torch is loaded. Threads that spin while they wait take the processors from every other
# process: two of them then do together a third of what one does alone.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
INDEX = _env.index
MILVUS_URI = _env.milvus_uri.get_secret_value() if _env.milvus_uri else ""
MILVUS_TOKEN = _env.milvus_token.get_secret_value() if _env.milvus_token else ""
SNAPSHOT_CHANGES = _env.snapshot_changes
NEIGHBOURS = _env.neighbours
SIMILAR_CASES = _env.similar
VIEWS = _env.views
CONFIDENT_PROBABILITY = _env.confident
CONFIDENT_CASES = _env.confident_cases
COVERAGE = _env.coverage
UNKNOWN_P = _env.unknown

INSTALLED_APPS = [
    "faultdiag.apps.FaultdiagConfig",
    "cases.apps.CasesConfig",
    "vision.apps.VisionConfig",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "rest_framework",
    "knox",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "pgtrigger",
    "pghistory",
    "import_export",
    "tree_queries",
    "django_htmx",
    "csp",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "faultdiag.middleware.refuse_nul",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.auth.middleware.LoginRequiredMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "pghistory.middleware.HistoryMiddleware",
    "faultdiag.middleware.tell_storage_away",
]

ROOT_URLCONF = "faultdiag.urls"
WSGI_APPLICATION = "faultdiag.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

# Data
DATABASES = {"default": addresses.django_database(_env.database_url.get_secret_value())}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
_redis = _env.redis_url.get_secret_value()
CACHES = {
    "default": {
        "BACKEND": "faultdiag.cache.ForgivingRedisCache",
        "LOCATION": _redis,
        "KEY_PREFIX": "faultdiag",
        # A server that is there but silent holds up no request for long.
        "OPTIONS": {"socket_connect_timeout": 2, "socket_timeout": 2},
    }
}
MEDIA_ROOT = FAULTDIAG_DATA / "media"
STATIC_ROOT = FAULTDIAG_DATA / "static"
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES = {
    **_pictures,
    "staticfiles": {
        "BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"
        if DEBUG
        else "whitenoise.storage.CompressedManifestStaticFilesStorage"
    },
}
FILE_UPLOAD_PERMISSIONS = 0o640
PGHISTORY_DEFAULT_TRACKERS = (pghistory.InsertEvent(), pghistory.UpdateEvent(), pghistory.DeleteEvent())
PGHISTORY_APPEND_ONLY = True

# Language and time
LANGUAGE_CODE = _env.language
TIME_ZONE = _env.time_zone
USE_TZ = True
USE_I18N = True

# People
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "login"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

# Browsers
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:", "blob:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = _env.https
SECURE_SSL_REDIRECT = _env.https
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$"]
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if _env.https else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if _env.https else None
# Subdomains and preloading are for the owner of the domain to decide, not for one application on it.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# API
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "knox.auth.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["cases.api.permissions.RequiredPermissions"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser", "cases.api.parsers.MultiPartParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_FILTER_BACKENDS": [
        "django_filters.rest_framework.DjangoFilterBackend",
        "rest_framework.filters.SearchFilter",
    ],
    "DEFAULT_PAGINATION_CLASS": "cases.api.pagination.Pages",
    "DEFAULT_SCHEMA_CLASS": "cases.api.schema.ApiSchema",
    "DEFAULT_THROTTLE_CLASSES": ["cases.api.throttles.ScopeThrottle"],
    "DEFAULT_THROTTLE_RATES": {
        "default": "6000/min",
        "login": "10/min",
        "upload": "600/min",
        "search": "600/min",
    },
    # Whose address is counted: the proxy names it in the last place, and without a proxy nobody is believed.
    "NUM_PROXIES": 1 if _env.https else 0,
    "EXCEPTION_HANDLER": "cases.api.errors.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
REST_KNOX = {"TOKEN_TTL": timedelta(days=_env.token_days), "AUTO_REFRESH": False}
SPECTACULAR_SETTINGS = {
    "TITLE": "faultdiag",
    "DESCRIPTION": "Fault diagnosis from photographs: similar past cases, their causes and what was done.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "COMPONENT_SPLIT_REQUEST": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "APPEND_COMPONENTS": {"securitySchemes": {"basicAuth": {"type": "http", "scheme": "basic"}}},
    "PREPROCESSING_HOOKS": ["cases.api.schema.without_slash"],
    "ENUM_NAME_OVERRIDES": {
        "CaseStatusEnum": "cases.models.Case.Status",
        "ImageRoleEnum": "cases.models.CaseImage.Role",
        "VerdictEnum": "cases.models.Label.Verdict",
        "ExampleVerdictEnum": "cases.models.CategoryExample.Verdict",
    },
}

# Background work. One vision worker takes `vision` (people wait) before `bulk` (imports).
# No result backend: results stand in the database, and a web process that waits for one that is away hangs.
CELERY_BROKER_URL = addresses.celery_redis(_redis)
CELERY_TASK_IGNORE_RESULT = True
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 3600, "queue_order_strategy": "priority"}
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {
    "vision.tasks.process_case": {"queue": "vision"},
    "vision.tasks.warm_up": {"queue": "vision"},
    "vision.tasks.embed_pending": {"queue": "bulk"},
    "vision.tasks.build_space": {"queue": "bulk"},
    "vision.tasks.follow_settings": {"queue": "bulk"},
}
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_TIMEZONE = TIME_ZONE
# A sweep that nobody took within its minute is left to the next one.
CELERY_BEAT_SCHEDULE = {
    "sweep": {"task": "vision.tasks.sweep", "schedule": crontab(), "options": {"expires": 60}}
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {
        "stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "line"}
    },
    "root": {"handlers": ["stdout"], "level": _env.log_level},
    "loggers": {
        "django": {"handlers": [], "level": "INFO", "propagate": True},
        "faiss": {"level": "WARNING"},
        "django.server": {"handlers": [], "level": "INFO", "propagate": True},
        # At DEBUG they write down whole requests, with the name of the key and the session token.
        **{name: {"level": "INFO"} for name in ("boto3", "botocore", "s3transfer", "urllib3")},
    },
}
