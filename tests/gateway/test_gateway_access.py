"""Who is let in: a key in one header, of the right scope, that has not asked too much."""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from fashioncrop.gateway.keys import Scope
from gateway_world import PHOTO, Gateway, refused

BODY = {"image": {"url": "data:image/png;base64,"}}
FILE = {"image": ("photo.png", PHOTO)}
PROTECTED = (
    *(("POST", path) for path in ("/v1/analyze", "/v1/detect", "/v1/depth", "/v1/describe", "/v1/embeddings")),
    ("POST", "/v1/search"),
    *(("POST", path) for path in ("/api/analyze", "/api/v1/describe", "/api/v1/batch")),
    *(("POST", path) for path in ("/inference/grounding-dino", "/inference/depth-anything", "/inference/other")),
    *(("POST", path) for path in ("/models/load", "/models/unload", "/models/unload-all")),
    *(("POST", f"/jobs/submit/{kind}") for kind in ("analyze", "detect", "depth", "describe", "other")),
    *(("GET", path) for path in ("/jobs", "/jobs/{id}", "/models/status", "/metrics")),
    ("DELETE", "/jobs/{id}"),
)
OPEN = ("/", "/health", "/health/live", "/health/ready", "/openapi.json")


def test_every_route_is_either_open_or_protected_here(gateway: Gateway) -> None:
    documented = {
        (method.upper(), path)
        for path, methods in gateway.get("/openapi.json").json()["paths"].items()
        for method in methods
    }
    expected = {*PROTECTED, *(("GET", path) for path in OPEN)} - {
        ("POST", "/inference/other"),
        ("POST", "/jobs/submit/other"),
        ("GET", "/openapi.json"),
    }
    assert documented == expected


@pytest.mark.parametrize(("method", "path"), PROTECTED)
def test_nobody_gets_in_without_a_key_and_nothing_is_read_or_asked(gateway: Gateway, method: str, path: str) -> None:
    response = gateway.client.request(method, path, content=b"not even JSON" if method == "POST" else None)
    assert "Authorization: Bearer" in refused(response, 401, "unauthorized")
    assert response.headers["www-authenticate"] == 'Bearer realm="fashioncrop"'
    assert gateway.fake.asked == []


@pytest.mark.parametrize("path", OPEN)
def test_what_tells_nothing_of_photos_needs_no_key(gateway: Gateway, path: str) -> None:
    assert gateway.get(path, headers={}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer nobody"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic dXNlcjpwYXNzd29yZA=="},
        {"X-API-Key": ""},
        {"X-API-Key": "fck_000000000000_" + "A" * 43},
        {"Cookie": "key=value"},
    ],
)
def test_what_is_no_key_is_refused(gateway: Gateway, headers: dict[str, str]) -> None:
    refused(gateway.post("/v1/detect", headers=headers, json=BODY), 401, "unauthorized")


def test_either_header_does_and_the_schemes_case_does_not_matter(gateway: Gateway) -> None:
    for headers in ({"X-API-Key": gateway.key}, {"Authorization": f"bearer {gateway.key}"}):
        assert gateway.post("/v1/detect", headers=headers, files=FILE).status_code == 200
    both = {"X-API-Key": gateway.key, "Authorization": f"Bearer {gateway.key}"}
    assert gateway.post("/v1/detect", headers=both, files=FILE).status_code == 200
    both["X-API-Key"] = "another"
    assert "more than one key" in refused(gateway.post("/v1/detect", headers=both, files=FILE), 401, "unauthorized")


@pytest.mark.parametrize("name", ["key", "api_key", "access_token", "TOKEN"])
def test_a_key_in_the_address_is_not_taken(gateway: Gateway, name: str) -> None:
    response = gateway.post(f"/v1/detect?{name}={gateway.key}", headers={}, files=FILE)
    assert "addresses are logged" in refused(response, 401, "unauthorized")
    assert gateway.key not in response.text


def test_a_revoked_key_that_is_played_again_is_refused(gateway: Gateway) -> None:
    record, key = gateway.keys.create("thief", [Scope.ANALYZE])
    headers = {"X-API-Key": key}
    assert gateway.post("/v1/detect", headers=headers, files=FILE).status_code == 200
    gateway.keys.revoke(record.id)
    for _ in range(2):
        assert "was revoked" in refused(gateway.post("/v1/detect", headers=headers, files=FILE), 401, "unauthorized")


@pytest.mark.parametrize(
    ("scope", "method", "path"),
    [
        (Scope.ANALYZE, "POST", "/v1/analyze"),
        (Scope.DESCRIBE, "POST", "/v1/describe"),
        (Scope.DESCRIBE, "POST", "/api/v1/describe"),
        (Scope.ADMIN, "POST", "/models/unload-all"),
        (Scope.JOBS, "POST", "/jobs/submit/detect"),
        (Scope.JOBS, "GET", "/jobs"),
        (Scope.METRICS, "GET", "/metrics"),
    ],
)
def test_a_key_without_the_scope_is_told_which_it_needs(gateway: Gateway, scope: Scope, method: str, path: str) -> None:
    others = gateway.key_for(*(one for one in Scope if one is not scope))
    detail = refused(gateway.client.request(method, path, headers=others), 403, "forbidden")
    assert f"the scope {scope}" in detail
    assert gateway.fake.asked == []


@pytest.mark.parametrize(
    "asked",
    [
        ("/v1/analyze", {"mode": "hybrid"}),
        ("/v1/analyze", {"mode": "vision"}),
        ("/v1/analyze", {"detector": "dinox"}),
        ("/v1/detect", {"detector": "dinox"}),
    ],
)
def test_what_costs_money_needs_its_scope(gateway: Gateway, asked: tuple[str, dict[str, str]]) -> None:
    path, fields = asked
    cheap = gateway.key_for(Scope.ANALYZE)
    assert "scope describe" in refused(gateway.post(path, headers=cheap, files=FILE, data=fields), 403, "forbidden")
    assert gateway.post(path, headers=cheap, files=FILE).status_code == 200
    refused(gateway.post(path, files=FILE, data=fields), 501, "not-offered")


@pytest.mark.parametrize("use_dinox", [True, False])
def test_the_older_apis_paid_ways_need_the_scope_too(gateway: Gateway, *, use_dinox: bool) -> None:
    body = {
        "imageUrl": "data:image/png;base64," + base64.b64encode(PHOTO).decode(),
        "use_dinox": use_dinox,
    }
    refused(gateway.post("/api/analyze", headers=gateway.key_for(Scope.ANALYZE), json=body), 403, "forbidden")


def test_keys_that_cannot_be_read_let_nobody_in(tmp_path: Path) -> None:
    with Gateway(tmp_path) as own:
        own.keys.path.write_text("{")
        detail = refused(own.post("/v1/detect", files=FILE), 503, "unavailable")
        assert str(tmp_path) not in detail
        assert own.get("/health/live").status_code == 200


def test_more_than_the_rate_is_turned_away_by_key(tmp_path: Path) -> None:
    with Gateway(tmp_path, rate_limit="3/minute") as own:
        statuses = [own.post("/v1/detect", files=FILE).status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        late = own.post("/v1/detect", files=FILE)
        assert "Try again in" in refused(late, 429, "rate")
        assert 1 <= int(late.headers["retry-after"]) <= 60
        assert own.post("/v1/detect", headers=own.key_for(Scope.ANALYZE), files=FILE).status_code == 200
        assert own.get("/health").status_code == 200


def test_each_photo_of_a_batch_counts(tmp_path: Path) -> None:
    with Gateway(tmp_path, rate_limit="5/minute") as own:
        batch = [("images", ("photo.png", PHOTO))] * 4
        assert own.post("/v1/detect", files=batch).status_code == 200
        refused(own.post("/v1/detect", files=batch), 429, "rate")
        assert [what for what, _ in own.fake.asked] == ["detect"] * 4


@pytest.fixture(scope="module")
def redis_port() -> Iterator[int]:
    program = shutil.which("redis-server")
    if program is None:
        pytest.fail("These tests count in a Redis server, and none is installed. Run: apt-get install redis-server")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port
        server.terminate()


def test_several_gateways_count_together_in_redis(tmp_path: Path, redis_port: int) -> None:
    shared: dict[str, Any] = {
        "rate_limit": "4/minute",
        "rate_limit_redis_url": SecretStr(f"redis://127.0.0.1:{redis_port}/0"),
    }
    with Gateway(tmp_path, **shared) as one, Gateway(tmp_path, **shared) as other:
        headers = one.headers
        statuses = [each.post("/v1/detect", headers=headers, files=FILE).status_code for each in (one, other) * 3]
        assert statuses == [200] * 4 + [429] * 2


def test_a_redis_that_is_not_there_leaves_each_gateway_its_own_count(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    url = SecretStr(f"redis://jo:PLANTED@127.0.0.1:{port}/0")
    with Gateway(tmp_path, rate_limit="2/minute", rate_limit_redis_url=url) as own:
        assert [own.post("/v1/detect", files=FILE).status_code for _ in range(3)] == [200, 200, 429]
    told = [record for record in caplog.records if "counted here alone" in record.getMessage()]
    assert len(told) == 1
    assert "PLANTED" not in str(vars(told[0]))
