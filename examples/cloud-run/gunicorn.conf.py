"""Settings of gunicorn, which reads this file by itself. It listens on the port that Cloud Run names in `PORT`."""

import os
import signal

# One process; a thread for each push that Cloud Run sends at a time (`--concurrency`), and one for its probes.
worker_class = "gthread"
workers = 1
threads = int(os.environ.get("CONCURRENCY", "4")) + 1

# Cloud Run slows an idle instance down, and gunicorn would take that for a hang.
timeout = 0

# Nobody can reach it in a container, whose user has no home to put it in.
control_socket_disable = True

# Cloud Run kills 10 seconds after SIGTERM. What is asked by then is answered within these.
graceful_timeout = 8


def post_worker_init(worker):
    """At SIGTERM, tells the pushes in hand before gunicorn begins to wait for them."""
    from generation import stopping

    leave = signal.getsignal(signal.SIGTERM)

    def stop(number, frame):
        stopping.set()
        leave(number, frame)

    signal.signal(signal.SIGTERM, stop)
