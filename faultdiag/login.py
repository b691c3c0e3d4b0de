"""The login pages, which guesses of passwords wear out; the API has its own throttle."""

import time

from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.forms import AuthenticationForm
from django.core.cache import cache
from django.core.exceptions import ValidationError
from rest_framework.throttling import BaseThrottle

#: Wrong passwords from one address in one minute, after which even the right one has to wait.
FAILURES_A_MINUTE = 10


class _PatientLogin:
    def clean(self):
        address = BaseThrottle().get_ident(self.request)
        key = f"login-failures:{address}:{time.time() // 60:.0f}"
        failures = cache.get(key, 0)
        if failures >= FAILURES_A_MINUTE:
            raise ValidationError(
                "Too many wrong passwords came from your address. Wait a minute, then try again.",
                code="throttled",
            )
        try:
            return super().clean()
        except ValidationError:
            cache.set(key, failures + 1, 120)
            raise


class LoginForm(_PatientLogin, AuthenticationForm):
    """The login of the application."""


class AdminLoginForm(_PatientLogin, AdminAuthenticationForm):
    """The login of the admin."""
