"""The least that Django needs. It has no database of its own: users' drafts and tokens are in Stale Drafts."""

import os
import secrets
from pathlib import Path

DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
SECRET_KEY = os.environ.get("SECRET_KEY") or secrets.token_hex(32)
ROOT_URLCONF = "studio.urls"
WSGI_APPLICATION = "studio.wsgi.application"
INSTALLED_APPS = ["django.contrib.messages"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
MESSAGE_STORAGE = "django.contrib.messages.storage.cookie.CookieStorage"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
        "OPTIONS": {"context_processors": ["django.contrib.messages.context_processors.messages"]},
    }
]
USE_TZ = True
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "INFO"},
}

STALE_DRAFTS_URL = os.environ.get("STALE_DRAFTS_URL", "http://localhost:8787")
STALE_DRAFTS_TOKEN = os.environ["STALE_DRAFTS_TOKEN"]
JWT_SECRET = os.environ["JWT_SECRET"]
RENDER_SECONDS = float(os.environ.get("RENDER_SECONDS", "20"))
