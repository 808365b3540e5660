"""The tables of the outbox, as `makemigrations` wrote them."""

# mypy: disable-error-code="import-untyped,misc"

from __future__ import annotations

from typing import ClassVar

from django.db import migrations, models


class Migration(migrations.Migration):
    """Makes both."""

    initial = True
    dependencies: ClassVar[list[tuple[str, str]]] = []
    operations: ClassVar = [
        migrations.CreateModel(
            name="RelayPlace",
            fields=[
                ("source", models.CharField(max_length=128, primary_key=True, serialize=False)),
                ("outbox", models.CharField(max_length=64)),
                ("place", models.CharField(max_length=1024)),
                ("epoch", models.BigIntegerField()),
                ("sequence", models.BigIntegerField()),
                ("turns", models.BigIntegerField()),
            ],
            options={"db_table": "portalbus_relay"},
        ),
        migrations.CreateModel(
            name="OutboxIntent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("source", models.CharField(max_length=128)),
                ("event_id", models.CharField(max_length=36, unique=True)),
                ("event_type", models.CharField(max_length=64)),
                ("event_key", models.CharField(max_length=255)),
                ("body", models.BinaryField()),
                ("state", models.CharField(default="waiting", max_length=8)),
                ("created_at", models.BigIntegerField()),
                ("changed_at", models.BigIntegerField()),
                ("epoch", models.BigIntegerField(null=True)),
                ("sequence", models.BigIntegerField(null=True)),
                ("reason", models.TextField(null=True)),
                ("verdict", models.CharField(max_length=16, null=True)),
                ("verdict_rule", models.CharField(max_length=64, null=True)),
            ],
            options={
                "db_table": "portalbus_outbox",
                "indexes": [models.Index(fields=["source", "state", "id"], name="portalbus_outbox_state")],
            },
        ),
    ]
