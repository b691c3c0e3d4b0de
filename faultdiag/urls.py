"""Provisional URLs: replaced by the frame's own."""
from importlib.util import find_spec

from django.contrib import admin
from django.urls import include, path

urlpatterns = [path("admin/", admin.site.urls), path("accounts/", include("django.contrib.auth.urls"))]
for prefix, module in [("api/v1/", "cases.api.urls"), ("api/v1/", "vision.api.urls"), ("", "cases.urls"), ("", "vision.urls")]:
    try:
        found = find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found:
        urlpatterns.append(path(prefix, include(module)))
