"""The cache may be away: nothing is remembered, and nothing fails."""

import pytest
from redis.exceptions import RedisError

from faultdiag.cache import ForgivingRedisCache


@pytest.fixture
def absent():
    return ForgivingRedisCache("redis://127.0.0.1:1/0", {})


def test_a_cache_that_is_away_is_empty(absent, caplog):
    absent.set("key", "value")
    assert absent.get("key") is None
    assert absent.get("key", "else") == "else"
    assert absent.add("key", "value")
    assert not absent.delete("key")
    assert "does not answer" in caplog.text


def test_whoever_asks_is_told(absent):
    with pytest.raises(RedisError):
        absent.ping()
