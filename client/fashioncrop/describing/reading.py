"""What a reply means: an answer, or a failure with a name and a sentence that says what to do.

The key is struck out of everything of the endpoint's that may be shown: some repeat it in their errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from fashioncrop.describing.replies import (
    Answered,
    ErrorBody,
    Failure,
    Lost,
    Reply,
    Tokens,
    answered_of,
    error_of,
    json_of,
)
from fashioncrop.describing.retries import retry_after_s
from fashioncrop.describing.schema import Answer, quoted
from fashioncrop.describing.settings import DescriberSettings
from fashioncrop.errors import (
    CredentialError,
    DeadlineError,
    OptionError,
    OverloadedError,
    ServerFaultError,
    ServerUnavailableError,
)

_OK, _BAD_REQUEST, _UNAUTHORIZED, _PAYMENT_REQUIRED, _FORBIDDEN, _NOT_FOUND = 200, 400, 401, 402, 403, 404
_TIMEOUT, _CONFLICT, _TOO_LARGE, _UNPROCESSABLE, _TOO_EARLY, _TOO_MANY, _FAULT = 408, 409, 413, 422, 425, 429, 500
_REDIRECTS, _BAD_GATEWAY = 300, 502
_NO_CREDIT = frozenset({"insufficient_quota", "billing_hard_limit_reached", "insufficient_credits"})
_CONTENT_POLICY = frozenset(
    {"content_filter", "content_policy_violation", "moderation_blocked", "responsibleaipolicyviolation"}
)
_SECRET_PART = 8
_SURELY_A_SECRET = 16
"""Shorter keys are words such as EMPTY, which local servers ask for and which an answer may hold."""
_STRUCK = "[key]"
_MOST_READ_CHARACTERS = 2000


class ReplyReader:
    """Reads the replies of one endpoint."""

    def __init__(self, settings: DescriberSettings) -> None:
        self._model = settings.model
        self._url = settings.shown_url
        self._timeout_s = settings.timeout_s
        self._key = settings.api_key

    def read(self, reply: Reply | Lost) -> Answered | Failure:
        """An answer, or why there is none."""
        if isinstance(reply, Lost):
            return self._lost(reply)
        document = json_of(reply.body)
        if reply.status != _OK:
            return self._failed(reply.status, reply.headers, document)
        if isinstance(document, dict):
            answered = answered_of(document)
            if answered is not None:
                return self._shown(answered)
            if document.get("error"):  # OpenRouter says so with status 200
                return self._failed(_status_of(error_of(document)), reply.headers, document)
        kind = self._quoted(reply.headers.get("content-type", "nothing"))
        return Failure(
            ServerFaultError,
            f"{self._url} does not answer with a chat completion but with {kind}. Is base_url right? It usually ends "
            "in /v1.",
            repeatable=True,
            may_cost=True,
        )

    def _lost(self, lost: Lost) -> Failure:
        if lost.how == "timeout":
            return Failure(
                DeadlineError,
                f"{self._url} gave no answer within {self._timeout_s:g} s. Allow more time, or try again later.",
                repeatable=True,
                may_cost=lost.was_sent,
            )
        if lost.how == "connection":
            return Failure(
                ServerUnavailableError,
                f"{self._url} cannot be reached, or ended the connection before its answer was whole ({lost.words}). "
                "Check base_url and the network, or try again later.",
                repeatable=True,
                may_cost=lost.was_sent,
            )
        if lost.how == "too large":
            return Failure(
                ServerFaultError, f"{self._url} answered with more than 4 MiB, which were not read.", may_cost=True
            )
        return Failure(ServerFaultError, f"{self._url} could not be asked: {lost.words}.", may_cost=lost.was_sent)

    def _failed(  # noqa: PLR0911 - a table
        self, status: int, headers: Mapping[str, str], document: object
    ) -> Answered | Failure:
        error = error_of(document)
        if status in {_BAD_REQUEST, _FORBIDDEN, _UNPROCESSABLE} and error.names(_CONTENT_POLICY):
            return self._shown(Answered(Answer(None, refusal=error.words or "content policy"), Tokens(0, 0, 0, 0)))
        if status in {_UNAUTHORIZED, _FORBIDDEN, _PAYMENT_REQUIRED} or error.names(_NO_CREDIT):
            return Failure(CredentialError, self._credential_sentence(status, error))
        says = f" It says: {self._quoted(error.words)}" if error.words else ""
        if status == _NOT_FOUND:
            return Failure(
                OptionError,
                f"{self._url} has no model {self._model}, or no chat completions at that address (404). Check model "
                f"and base_url, which usually ends in /v1.{says}",
            )
        if _REDIRECTS <= status < _BAD_REQUEST:
            return Failure(OptionError, f"{self._url} points to another address ({status}). Set base_url to that one.")
        if status in {_BAD_REQUEST, _TOO_LARGE, _UNPROCESSABLE}:
            sentence = f"{self._url} refuses the request for {self._model} ({status}).{says}"
            return Failure(OptionError, sentence, rejected=error.rejected())
        if status == _TOO_MANY:
            sentence = f"{self._url} takes no more at the moment (429). Try again later, with fewer at a time.{says}"
            return Failure(OverloadedError, sentence, repeatable=True, retry_after_s=retry_after_s(headers))
        if status >= _FAULT or status in {_TIMEOUT, _CONFLICT, _TOO_EARLY}:
            sentence = f"{self._url} is not able to answer just now ({status}). Try again later.{says}"
            return Failure(ServerUnavailableError, sentence, repeatable=True, retry_after_s=retry_after_s(headers))
        return Failure(ServerFaultError, f"{self._url} answered with the status {status}.{says}")

    def _credential_sentence(self, status: int, error: ErrorBody) -> str:
        """Without the endpoint's words: they are about the key."""
        if status == _PAYMENT_REQUIRED or error.names(_NO_CREDIT):
            return (
                f"The account behind the key for {self._url} has no credit left, or has reached its limit. Add credit "
                "or raise the limit at the provider; waiting does not help."
            )
        if self._key is None:
            return f"{self._url} wants a key ({status}), and none was given. Set api_key."
        if status == _UNAUTHORIZED:
            return f"{self._url} does not know the key (401). Is it complete, not revoked, and of this provider?"
        return (
            f"{self._url} does not allow this key to use {self._model} ({status}). Check the key's project and rights."
        )

    def _shown(self, answered: Answered) -> Answered:
        """The answer without the key, should an endpoint have put it there."""
        key = "" if self._key is None else self._key.get_secret_value()
        if len(key) < _SURELY_A_SECRET:
            return answered
        answer = answered.answer
        text, refusal = (None if one is None else one.replace(key, _STRUCK) for one in (answer.text, answer.refusal))
        return replace(answered, answer=replace(answer, text=text, refusal=refusal))

    def _quoted(self, words: str) -> str:
        """An endpoint's words without the key, and without any part of it that is long enough to be one."""
        key = "" if self._key is None else self._key.get_secret_value()
        words = words[:_MOST_READ_CHARACTERS]
        if key:
            words = words.replace(key, _STRUCK)
        for start in range(len(key) - _SECRET_PART + 1):
            words = words.replace(key[start : start + _SECRET_PART], _STRUCK)
        return quoted(words)


def _status_of(error: ErrorBody) -> int:
    """The status that an error inside an answer names."""
    status = int(error.code) if error.code.isdecimal() and len(error.code) == len("500") else _BAD_GATEWAY
    return status if status >= _BAD_REQUEST else _BAD_GATEWAY
