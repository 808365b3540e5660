"""`manage.py portalbus_relay`: brings what was committed to the bus, and decides about what is parked."""

# mypy: disable-error-code="import-untyped,misc"

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from portalbus.producers.django.relaying import intents, make_relay
from portalbus.producers.intents.commands import add_arguments, run_command


class Command(BaseCommand):
    """Relays until stopped, or does what the subcommand says."""

    help = "Brings the events that this portal committed to the bus."

    def add_arguments(self, parser: CommandParser) -> None:
        """The subcommands."""
        add_arguments(parser)

    def handle(self, *_: Any, **options: Any) -> None:
        """Exits with the status of the command."""
        status = run_command(Namespace(**options), intents, make_relay, self._say)
        if status:
            sys.exit(status)

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()
