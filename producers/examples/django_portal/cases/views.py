"""A case and the event that tells the centre of it commit together."""

# mypy: disable-error-code="import-untyped,misc"

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404

from portalbus.producers import Channel, EventRefused, FeedbackReceived, new_public_code
from portalbus.producers.django import publish
from portalbus.producers.django.models import OutboxIntent

from .models import Case


def receive(request: HttpRequest) -> JsonResponse:
    """Stores the case and publishes its receipt, or does neither."""
    new = json.loads(request.body)
    with transaction.atomic():
        case = Case(case_id=new["case_id"], subject=new["subject"])
        intent = publish(
            FeedbackReceived(
                case_id=new["case_id"],
                public_code=new_public_code(),
                regime="R6",
                category=1,
                channel=Channel.WEB,
                received_at=datetime.now(UTC),
                addressed_to="H26",
                subject=new["subject"],
                content=new["content"],
                language="vi",
            )
        )
        case.event_id = intent.event_id
        case.save(force_insert=True)
    return JsonResponse({"case_id": case.case_id, "event_id": intent.event_id}, status=201)


def show(request: HttpRequest, case_id: str) -> JsonResponse:
    """The case, and what the centre said of it: null until its verdict has come back."""
    case = get_object_or_404(Case, case_id=case_id)
    event = OutboxIntent.objects.filter(event_id=case.event_id).first()
    verdict = event.verdict if event else None
    return JsonResponse({"case_id": case.case_id, "subject": case.subject, "verdict": verdict})


class Refusals:
    """Middleware: a refused event becomes an answer with the rule, the field, and what is wrong."""

    def __init__(self, get_response: Callable[[HttpRequest], JsonResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> JsonResponse:
        """Passes the request on."""
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> JsonResponse | None:
        """Answers for a refusal; leaves other errors to Django."""
        if not isinstance(error, EventRefused):
            return None
        findings = [{"rule": one.rule, "path": one.path, "message": one.message.vi} for one in error.findings]
        return JsonResponse({"findings": findings}, status=422)
