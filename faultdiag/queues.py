"""The queues, who serves them, and what a killed worker leaves in them."""

import json
from collections.abc import Collection

from faultdiag.celery import app

#: Queues by worker. People wait for `vision`, so it comes before `bulk`.
WORKERS = {"vision": ("vision", "bulk"), "default": ("default",)}


def unacknowledged_restore(queues: Collection[str]) -> int:
    """Put back what workers of `queues` had taken and not finished; returns how many messages.

    Only when none of these workers lives. Without this a message of a killed worker would come back after
    the visibility timeout, which must be longer than the longest task.
    """
    restored = 0
    with app.connection_for_write() as connection, connection.channel() as channel:
        for tag, message in channel.client.hgetall(channel.unacked_key).items():
            _, _, routing_key = json.loads(message)
            if routing_key in queues:
                channel.qos.restore_by_tag(tag)
                restored += 1
    return restored
