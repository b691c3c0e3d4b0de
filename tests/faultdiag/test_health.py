import pytest
from django.urls import reverse

from faultdiag import health


@pytest.fixture
def checks(monkeypatch):
    """Checks without what earlier requests remembered."""
    fresh = {**health.CHECKS, "migrations": health._Once(health._migrations), "workers": health._Workers()}
    monkeypatch.setattr(health, "CHECKS", fresh)
    return fresh


def test_healthz_asks_nobody(client):
    response = client.get(reverse("healthz"))
    assert response.status_code == 200
    assert response.json() == {"status": "ok"}


@pytest.mark.django_db
def test_readyz_names_the_queues_that_nobody_serves(client, checks):
    response = client.get(reverse("readyz"))
    assert response.status_code == 503
    answer = response.json()
    assert answer["checks"]["workers"] == "No worker answers for the queue vision and default."
    others = {name: result for name, result in answer["checks"].items() if name not in {"workers", "weights"}}
    assert set(others.values()) == {"ok"}, others
    assert "no-cache" in response["Cache-Control"]


@pytest.mark.slow
def test_readyz_is_ready_with_a_worker(celery_worker, client, checks):
    answer = client.get(reverse("readyz")).json()
    assert answer["checks"]["workers"] == "ok", answer


@pytest.mark.django_db
def test_readyz_tells_of_missing_weights(client, checks, settings):
    settings.BACKBONE = "vgg16"
    answer = client.get(reverse("readyz")).json()
    assert "fetch_weights vgg16" in answer["checks"]["weights"]


@pytest.mark.django_db
def test_readyz_tells_of_a_bucket_that_is_away(client, checks, own_s3_server, use_bucket, caplog):
    bucket = use_bucket(own_s3_server)
    assert client.get(reverse("readyz")).json()["checks"]["pictures"] == "ok"
    bucket.server.stop()
    response = client.get(reverse("readyz"))
    assert response.status_code == 503
    said = "The storage of the pictures does not work: see the log."
    assert response.json()["checks"]["pictures"] == said
    assert f"s3://{bucket.name}/plant at {bucket.server.endpoint} could not be reached" in caplog.text


@pytest.mark.django_db
def test_readyz_keeps_addresses_to_itself(client, checks):
    def broken():
        raise RuntimeError("postgresql://ann:hunter2@db is away")

    checks["database"] = broken
    response = client.get(reverse("readyz"))
    assert response.status_code == 503
    assert response.json()["checks"]["database"] == "RuntimeError: see the log."


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["healthz", "readyz"])
def test_health_only_reads(client, name):
    assert client.post(reverse(name)).status_code == 405
