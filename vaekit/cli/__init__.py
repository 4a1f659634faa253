"""The `vaekit` command: is everything in place, lessons and exercises, the papers' models and tables."""

from vaekit.cli import course, doctor, papers  # noqa: F401  their commands
from vaekit.cli.app import app


def main():
    """Entry point of the command `vaekit`."""
    app()
