"""All addresses: pages, API, admin, health."""

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
    path("api/v1/", include("faultdiag.api_urls")),
    path("", include("cases.urls")),
    path("", include("vision.urls")),
]
