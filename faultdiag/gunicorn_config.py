"""gunicorn's configuration: one process, so that one copy of the network and the library is in memory."""

import signal

from faultdiag.environment import environment
from faultdiag.processes import die_with_parent

_env = environment()

bind = f"[{_env.host}]:{_env.port}" if ":" in _env.host else f"{_env.host}:{_env.port}"
workers = 1
worker_class = "gthread"
threads = 8
# A first search loads the network; no request takes this long after that.
timeout = 120
graceful_timeout = 8
loglevel = _env.log_level.lower()
control_socket_disable = True

_bind_to_arbiter = die_with_parent(signal.SIGKILL)


def post_fork(server, worker):
    _bind_to_arbiter()
