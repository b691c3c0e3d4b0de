"""Guesses of passwords are slowed down on every login page, whatever a client says of its address."""

import pytest
from django.contrib.auth import get_user_model

from faultdiag import login

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("page", ["/accounts/login/", "/admin/login/"])
def test_after_too_many_guesses_even_the_right_password_waits(client, page, monkeypatch):
    monkeypatch.setattr(login, "FAILURES_A_MINUTE", 3)
    monkeypatch.setattr("time.time", lambda: 1_800_000_000.0)
    get_user_model().objects.create_superuser("anna", password="pits-and-cracks")

    def try_password(password, **headers):
        return client.post(page, {"username": "anna", "password": password}, headers=headers)

    for guess in range(3):
        answer = try_password(f"guess {guess}", x_forwarded_for=f"10.0.0.{guess}")
        assert "Too many" not in answer.content.decode()
    assert "Too many wrong passwords" in try_password("pits-and-cracks").content.decode()
    assert "_auth_user_id" not in client.session
    monkeypatch.setattr("time.time", lambda: 1_800_000_060.0)
    assert try_password("pits-and-cracks").status_code == 302
