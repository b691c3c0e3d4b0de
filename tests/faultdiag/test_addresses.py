import pytest
import redis
from kombu import Connection

from faultdiag.addresses import celery_redis, django_database
from faultdiag.processes import Refused


def test_a_postgresql_address_becomes_a_django_database():
    entry = django_database("postgresql://ann:p%40ss@db.plant:5433/faults?sslmode=require")
    assert (entry["HOST"], entry["PORT"], entry["NAME"]) == ("db.plant", "5433", "faults")
    assert (entry["USER"], entry["PASSWORD"]) == ("ann", "p@ss")
    assert entry["OPTIONS"] == {"sslmode": "require"}


def test_a_socket_address_becomes_a_django_database():
    entry = django_database("postgresql:///faultdiag?host=%2Fdata%20folder%2Frun&user=postgres")
    assert (entry["HOST"], entry["NAME"], entry["USER"]) == ("/data folder/run", "faultdiag", "postgres")


def test_an_unreadable_address_is_refused_without_showing_it():
    with pytest.raises(Refused) as refusal:
        django_database("postgresql://ann:hunter2@db:port/x?nonsense=1")
    assert "DATABASE_URL" in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    ("given", "for_celery"),
    [
        ("redis://:secret@host:6380/2", "redis://:secret@host:6380/2"),
        ("rediss://host/0", "rediss://host/0"),
        ("unix:///data/run/redis.sock", "redis+socket:///data/run/redis.sock?virtual_host=0"),
        ("unix:///data/run/redis.sock?db=3", "redis+socket:///data/run/redis.sock?virtual_host=3"),
    ],
)
def test_redis_addresses_for_celery(given, for_celery):
    assert celery_redis(given) == for_celery


def test_django_and_celery_mean_the_same_redis(services, settings):
    address = settings.CACHES["default"]["LOCATION"]
    direct = redis.Redis.from_url(address)
    with Connection(settings.CELERY_BROKER_URL) as broker:
        client = broker.default_channel.client
        client.set("same-server", "yes")
    assert direct.get("same-server") == b"yes"
    direct.delete("same-server")
