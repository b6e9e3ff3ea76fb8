"""A client that is closed, forked or misused says so at once."""

from __future__ import annotations

import asyncio
import os

import pytest

from fashioncrop import AsyncClient, Client
from fashioncrop.errors import OptionError, ServerUnavailableError

NOBODY = "127.0.0.1:9"


@pytest.mark.parametrize(
    "url", ["http://localhost:8000", "localhost", "localhost:", "localhost:99999", ":8001", "grpc://a/b:8001", "x:y"]
)
def test_an_address_that_is_none_is_refused_at_once(url: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(OptionError, match=r"HOST:PORT of its gRPC service"):
            kind(url)


def test_a_closed_client_says_so() -> None:
    client = Client(NOBODY)
    client.close()
    client.close()
    with pytest.raises(RuntimeError, match="closed; make another"):
        client.check()


def test_a_closed_async_client_says_so() -> None:
    async def use() -> None:
        client = AsyncClient(NOBODY, timeout_s=0.2)
        await client.close()
        await client.check()

    with pytest.raises(RuntimeError, match="closed; make another"):
        asyncio.run(use())


def test_an_async_client_may_be_made_before_its_loop() -> None:
    client = AsyncClient(NOBODY, timeout_s=0.3)

    async def use() -> None:
        async with client:
            await client.check()

    with pytest.raises(ServerUnavailableError):
        asyncio.run(use())


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_client_from_before_a_fork_says_so_instead_of_hanging() -> None:
    with Client(NOBODY, timeout_s=0.2) as client:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                client.check()
            except RuntimeError as error:
                code = 0 if "made before a fork" in str(error) else 2
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
