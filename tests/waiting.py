"""Waiting for what other processes do."""

import time


def wait_until(holds, seconds=20):
    """Look again and again until `holds()` is true; fails when that takes too long."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.05)


def transactions_waiting() -> int:
    """How many transactions of the test's database wait for a lock. Ask outside of a transaction.

    Within one, PostgreSQL would repeat its first answer.
    """
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND cardinality(pg_blocking_pids(pid)) > 0"
        )
        return cursor.fetchone()[0]
