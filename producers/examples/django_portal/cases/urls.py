"""Two addresses."""

# mypy: disable-error-code="import-untyped"

from __future__ import annotations

from django.urls import path

from . import views

urlpatterns = [path("cases", views.receive), path("cases/<str:case_id>", views.show)]
