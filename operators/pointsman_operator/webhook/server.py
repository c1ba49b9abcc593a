"""The webhook over HTTPS: one path, to which the API server posts what is about to be written."""

from __future__ import annotations

import asyncio

import orjson
from fastapi import FastAPI, Request, Response
from prometheus_client import Counter, Histogram

from pointsman_operator.resources.admission import PATH
from pointsman_operator.webhook.review import answer

LONGEST = 8 * 1024**2
"""Of a request, in bytes: the API server takes objects of 3 MiB, and sends the one before, too"""

REVIEWS = Counter("pointsman_operator_reviews", "Documents that the webhook was asked about", ["outcome"])
SECONDS = Histogram("pointsman_operator_review_seconds", "How long the webhook takes for an answer")


def app() -> FastAPI:
    """One POST: an AdmissionReview in, an AdmissionReview out."""
    api = FastAPI(openapi_url=None)

    @api.post(PATH)
    async def validate(request: Request) -> Response:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > LONGEST:
                return Response("too long\n", status_code=413, media_type="text/plain")
        try:
            with SECONDS.time():
                answered = await asyncio.to_thread(answer, orjson.loads(body))  # a large one must not hold up the lease
        except ValueError as error:
            return Response(f"{error}\n", status_code=400, media_type="text/plain")
        REVIEWS.labels("allowed" if answered["response"]["allowed"] else "refused").inc()
        return Response(orjson.dumps(answered), media_type="application/json")

    return api
