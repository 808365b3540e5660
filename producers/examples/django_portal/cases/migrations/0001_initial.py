"""The table of the cases."""

# mypy: disable-error-code="import-untyped,misc"

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """Makes it."""

    initial = True
    dependencies: ClassVar[list[tuple[str, str]]] = []
    operations: ClassVar = [
        migrations.CreateModel(
            name="Case",
            fields=[
                ("case_id", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("subject", models.CharField(max_length=300)),
                ("event_id", models.CharField(max_length=36)),
            ],
        )
    ]
