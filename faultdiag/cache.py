"""The cache in Redis, without which everything goes on: it holds only what can be missed."""

import logging

from django.core.cache.backends.redis import RedisCache
from redis.exceptions import ConnectionError, TimeoutError

logger = logging.getLogger(__name__)


class ForgivingRedisCache(RedisCache):
    """A Redis cache that is empty, and forgets what it is given, while Redis does not answer.

    Rates, forms sent twice and tasks queued already are then not counted, and no request fails for that.
    """

    def ping(self) -> None:
        """Raise RedisError unless Redis answers: for those who want to know."""
        self._cache.get_client().ping()

    def add(self, *args, **kwargs):
        return self._try(super().add, True, *args, **kwargs)

    def get(self, key, default=None, version=None):
        return self._try(super().get, default, key, default, version=version)

    def set(self, *args, **kwargs):
        return self._try(super().set, None, *args, **kwargs)

    def delete(self, *args, **kwargs):
        return self._try(super().delete, False, *args, **kwargs)

    def _try(self, operation, otherwise, *args, **kwargs):
        try:
            return operation(*args, **kwargs)
        except (ConnectionError, TimeoutError) as error:
            # The driver names the server, never its password.
            logger.warning("The cache does not answer: %s", error)
            return otherwise
