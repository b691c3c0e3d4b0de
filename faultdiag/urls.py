"""All addresses: pages, API, admin, health."""

from django.contrib import admin
from django.contrib.auth import views as auth
from django.urls import include, path

from faultdiag import health, login

_login = auth.LoginView.as_view(redirect_authenticated_user=True, authentication_form=login.LoginForm)
# Names of their own, so that the admin keeps its pages.
_password = auth.PasswordChangeView.as_view(template_name="registration/own_password_form.html")
_password_done = auth.PasswordChangeDoneView.as_view(template_name="registration/own_password_done.html")
admin.site.login_form = login.AdminLoginForm

urlpatterns = [
    path("healthz", health.healthz, name="healthz"),
    path("readyz", health.readyz, name="readyz"),
    path("accounts/login/", _login, name="login"),
    path("accounts/logout/", auth.LogoutView.as_view(), name="logout"),
    path("accounts/password/", _password, name="password_change"),
    path("accounts/password/done/", _password_done, name="password_change_done"),
    path("admin/", admin.site.urls),
    path("api/v1/", include("faultdiag.api_urls")),
    path("", include("cases.urls")),
    path("", include("vision.urls")),
]
