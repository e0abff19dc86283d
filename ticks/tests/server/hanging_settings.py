"""The settings of a server that can be made to hang."""

from ticks.settings import *  # noqa: F403

ROOT_URLCONF = "ticks.tests.server.hanging_urls"
