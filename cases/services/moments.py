"""How long ago something was, on machines whose clock may be set back.

What was written before that lies ahead for a while, for days if the clock was wrong by days. Whoever waits
until it is old enough must not wait for that: beyond what two machines may differ by, it counts as long ago.
"""

from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

_APART = timedelta(minutes=5)


def long_ago(field: str, age: timedelta) -> Q:
    """The condition that the moment in a field is more than `age` ago."""
    now = timezone.now()
    return Q(**{f"{field}__lt": now - age}) | Q(**{f"{field}__gt": now + _APART})


def is_recent(moment: datetime, age: timedelta) -> bool:
    """The opposite, for a moment at hand."""
    return -_APART <= timezone.now() - moment <= age
