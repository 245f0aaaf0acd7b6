"""The build of this project's images: `doit` brings the stale ones up to date. See README.md."""

from imagegen.tasks import *  # noqa: F403
