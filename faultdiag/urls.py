"""All addresses: pages, API, admin, health."""

from importlib.util import find_spec

from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import include, path

from faultdiag import health, login

_login = auth.LoginView.as_view(redirect_authenticated_user=True, authentication_form=login.LoginForm)
admin.site.login_form = login.AdminLoginForm

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("accounts/login/", _login, name="login"),
    path("accounts/logout/", auth.LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
]
for _prefix, _module in [
    ("api/v1/", "faultdiag.api_urls"),
    ("", "cases.urls"),
    ("", "vision.urls"),
]:
    if find_spec(_module):
        urlpatterns.append(path(_prefix, include(_module)))
