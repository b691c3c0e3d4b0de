"""gunicorn's configuration: one process, so that one copy of the network and the library is in memory."""

import logging
import signal
import threading

from faultdiag.environment import environment
from faultdiag.processes import die_with_parent

_env = environment()

bind = f"[{_env.host}]:{_env.port}" if ":" in _env.host else f"{_env.host}:{_env.port}"
workers = 1
worker_class = "gthread"
threads = 8
# No request takes this long, unless the first search has to load the network.
timeout = 120
graceful_timeout = 8
loglevel = _env.log_level.lower()
control_socket_disable = True

_bind_to_arbiter = die_with_parent(signal.SIGKILL)


def post_fork(server, worker):
    _bind_to_arbiter()


def post_worker_init(worker):
    threading.Thread(target=_warm_up, name="warm-up", daemon=True).start()


def _warm_up():
    """Load the network and the library beside the first requests, so that the first search need not."""
    from django.db import connections

    from vision.services.spaces import sight_warm_up

    try:
        sight_warm_up()
    except Exception:
        logging.getLogger(__name__).warning("The first search will load the library.", exc_info=True)
    finally:
        connections.close_all()
