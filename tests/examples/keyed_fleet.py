"""The fleet of examples/celery, with a provider over HTTP that wants a key: for root-causes.test.mjs.

    celery -A keyed_fleet worker
"""

import os

import requests
import tasks
from tasks import app  # noqa: F401, the app that Celery looks for

order = tasks.Render.order


def order_with_key(job):
    headers = {"Authorization": f"Bearer {os.environ['PROVIDER_API_KEY']}"}
    answer = requests.post(os.environ["PROVIDER_URL"], json={"prompt": job.prompt}, headers=headers, timeout=10)
    if answer.status_code == 401:
        raise tasks.GenerationError("api_key_invalid", "It could not be generated.")
    answer.raise_for_status()
    return order(job)


tasks.Render.order = order_with_key
