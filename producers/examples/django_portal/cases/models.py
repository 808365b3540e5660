"""What the portal keeps."""

# mypy: disable-error-code="import-untyped,misc"

from __future__ import annotations

from django.db import models


class Case(models.Model):
    """What a citizen asked."""

    case_id = models.CharField(max_length=100, primary_key=True)
    subject = models.CharField(max_length=300)
    event_id = models.CharField(max_length=36)

    def __str__(self) -> str:
        return str(self.case_id)
