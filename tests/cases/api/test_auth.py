"""Tokens: got by Basic or JSON, stored hashed, expiring, and every attempt counted."""

from datetime import timedelta

import pytest
from django.utils import timezone
from knox.models import AuthToken
from rest_framework.test import APIClient

from cases.api.throttles import LoginThrottle, ScopeThrottle
from tests import factories

pytestmark = pytest.mark.django_db
LOGIN, CASES = "/api/v1/auth/login", "/api/v1/cases"


@pytest.fixture
def erika():
    account = factories.user("Engineer", "erika")
    account.set_password("Pits-and-cracks-77")
    account.save()
    return account


def with_token(token: str) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client


def test_a_password_as_json_or_basic_gives_a_token_that_is_stored_hashed(erika, client):
    api = APIClient()
    by_json = api.post(LOGIN, {"username": "erika", "password": "Pits-and-cracks-77"})
    assert by_json.status_code == 200
    by_basic = client.post(
        f"{LOGIN}/", headers={"Authorization": "Basic ZXJpa2E6UGl0cy1hbmQtY3JhY2tzLTc3"}
    ).json()
    for answer in (by_json.data, by_basic):
        assert with_token(answer["token"]).get(CASES).status_code == 200
        assert not AuthToken.objects.filter(digest=answer["token"]).exists()
        assert answer["expiry"] > timezone.now().isoformat()


def test_wrong_passwords_get_401_and_one_sentence_for_all_reasons(erika):
    api = APIClient()
    wrong = api.post(LOGIN, {"username": "erika", "password": "x"})
    unknown = api.post(LOGIN, {"username": "nobody", "password": "x"})
    erika.is_active = False
    erika.save()
    closed = api.post(LOGIN, {"username": "erika", "password": "Pits-and-cracks-77"})
    assert wrong.status_code == unknown.status_code == closed.status_code == 401
    assert wrong.data == unknown.data == closed.data
    assert api.post(LOGIN, {"username": "erika"}).status_code == 400
    assert api.post(LOGIN, {}, HTTP_AUTHORIZATION="Basic %%%").status_code == 401


def test_an_expired_token_is_of_no_use(erika):
    row, token = AuthToken.objects.create(user=erika)
    assert with_token(token).get(CASES).status_code == 200
    row.expiry = timezone.now() - timedelta(seconds=1)
    row.save()
    refused = with_token(token).get(CASES)
    assert (refused.status_code, set(refused.data)) == (401, {"detail", "code", "errors"})
    assert refused["WWW-Authenticate"] == "Token"


def test_logging_out_ends_one_token_or_all(erika):
    first, second, third = (AuthToken.objects.create(user=erika)[1] for _ in range(3))
    assert with_token(first).post("/api/v1/auth/logout").status_code == 204
    assert with_token(first).get(CASES).status_code == 401
    assert with_token(second).get(CASES).status_code == 200
    assert with_token(second).post("/api/v1/auth/logoutall").status_code == 204
    assert with_token(third).get(CASES).status_code == 401


def test_failed_logins_are_throttled(erika, monkeypatch):
    monkeypatch.setitem(LoginThrottle.THROTTLE_RATES, "login", "3/min")
    api = APIClient()
    codes = [api.post(LOGIN, {"username": "erika", "password": "x"}).status_code for _ in range(4)]
    assert codes == [401, 401, 401, 429]
    right = api.post(LOGIN, HTTP_AUTHORIZATION="Basic ZXJpa2E6UGl0cy1hbmQtY3JhY2tzLTc3")
    assert right.status_code == 429
    assert int(right["Retry-After"]) > 0
    assert "errors" in right.data


def test_uploads_have_a_rate_of_their_own(erika, monkeypatch):
    monkeypatch.setitem(ScopeThrottle.THROTTLE_RATES, "upload", "2/min")
    api = factories.api_client(erika)
    assert [api.post(CASES, {}).status_code for _ in range(3)] == [201, 201, 429]
    assert api.get(CASES).status_code == 200


def test_a_session_works_for_reading_and_needs_its_csrf_token_for_writing(erika):
    api = APIClient(enforce_csrf_checks=True)
    api.force_login(erika)
    assert api.get(CASES).status_code == 200
    refused = api.post(CASES, {})
    assert refused.status_code == 403
    assert "CSRF" in refused.data["detail"]
