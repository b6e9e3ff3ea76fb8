"""One request to an OpenAI-compatible endpoint. The only module that knows the openai package.

What comes back is bytes with a status or the way in which they were lost, never an exception of the package: those
carry the request with its key, and words of an endpoint that may have repeated it.
"""

from __future__ import annotations

from typing import Any

import openai

from fashioncrop.describing.replies import Lost, Reply
from fashioncrop.describing.settings import DescriberSettings

MAX_ANSWER_BYTES = 4_194_304
"""Hundreds of times what sixteen garments take."""
_MAX_FAULT_BYTES = 65_536
_FIRST_FAULT_STATUS = 400
# An endpoint that needs no key gets one that is none: the package insists on one.
_NO_KEY = "none"
# The request never left: nobody can charge for it. By name: the package's HTTP library differs with its version.
_NEVER_SENT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol"})
# All others describe the wire, or are nobody's business: versions 2 of the package log every header at DEBUG.
_READ_HEADERS = frozenset({"content-type", "retry-after", "retry-after-ms"})


class _AnswerTooLargeError(Exception):
    """An answer of more than `MAX_ANSWER_BYTES`."""


class _BoundedHttpClient(openai.DefaultAsyncHttpxClient):
    """The package's HTTP client, which reads no more than a limit of any answer."""

    async def send(self, request: Any, **options: Any) -> Any:  # noqa: ANN401 - classes of either HTTP library
        response = await super().send(request, **{**options, "stream": True})
        is_fault = response.status_code >= _FIRST_FAULT_STATUS
        limit = _MAX_FAULT_BYTES if is_fault else MAX_ANSWER_BYTES
        body = bytearray()
        try:
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > limit:
                    if is_fault:
                        break  # its beginning says what is wrong
                    raise _AnswerTooLargeError
        finally:
            await response.aclose()
        headers = [(name, value) for name, value in response.headers.items() if name.lower() in _READ_HEADERS]
        return type(response)(response.status_code, headers=headers, content=bytes(body), request=request)


class ChatConnection:
    """Connections to one endpoint, kept open between requests."""

    def __init__(self, settings: DescriberSettings) -> None:
        key = settings.api_key
        self._client = openai.AsyncOpenAI(
            api_key=_NO_KEY if key is None else key.get_secret_value(),
            base_url=settings.url,
            timeout=settings.timeout_s,
            # `Endpoint` repeats, and says why.
            max_retries=0,
            # No compression: the limit on an answer is then a limit on what is held.
            default_headers={"Accept-Encoding": "identity"},
            http_client=_BoundedHttpClient(
                timeout=settings.timeout_s,
                trust_env=not settings.is_this_machine(),
                # What is shown to one endpoint is not meant for another.
                follow_redirects=False,
            ),
        )
        if not settings.is_openai():
            # From the environment, and nobody else's business.
            self._client.organization = None
            self._client.project = None

    async def send(self, body: dict[str, Any]) -> Reply | Lost:
        """POST a chat completion; `body` is what the endpoint's documentation calls the request body."""
        create: Any = self._client.chat.completions.with_raw_response.create
        try:
            response = (await create(**body)).http_response
        except openai.APIStatusError as error:
            response = error.response
        except (openai.OpenAIError, _AnswerTooLargeError) as error:
            return _lost(error)
        headers = {name.lower(): text for name, text in response.headers.items()}
        return Reply(response.status_code, headers, response.content)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


def _lost(error: Exception) -> Lost:
    cause = type(error.__cause__).__name__
    # Versions 2 of the package take it for a lost connection.
    if isinstance(error, _AnswerTooLargeError) or isinstance(error.__cause__, _AnswerTooLargeError):
        return Lost("too large")
    if isinstance(error, openai.APITimeoutError):
        return Lost("timeout", was_sent=cause not in _NEVER_SENT)
    if isinstance(error, openai.APIConnectionError):
        return Lost("connection", words=cause, was_sent=cause not in _NEVER_SENT)
    return Lost("fault", words=type(error).__name__)
