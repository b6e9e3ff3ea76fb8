"""Settings good and bad, and a world without any."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from fashioncrop.settings import Settings
from fashioncrop.settings._declaration import is_secret

SECRETS = [name for name in Settings.model_fields if is_secret(name)]
OF_OTHERS = {"openai_api_key": "OPENAI_API_KEY", "base_url": "OPENAI_BASE_URL", "dinox_api_key": "DINOX_API_KEY"}
NUMBER = st.integers(1, 100)
SHARE = NUMBER.map(lambda number: number / 100)
TEXT = NUMBER.map(lambda number: f"text-{number}")
ADDRESS = NUMBER.map(lambda number: f"http://localhost:{number}/v1")  # of this machine: any file may name it
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "url": NUMBER.map(lambda number: f"host:{number}"),
    "timeout_s": SHARE.map(lambda share: share * 600),
    "allow_http": st.booleans(),
    "allow_private_addresses": st.booleans(),
    "detector": st.sampled_from(["served", "dinox"]),
    "vocabulary": st.lists(TEXT, min_size=1, max_size=3),
    "threshold": SHARE,
    "iou_threshold": SHARE,
    "crop_padding": SHARE,
    "max_garments": NUMBER,
    "dinox_api_key": TEXT,
    "dinox_base_url": ADDRESS,
    "mode": st.sampled_from(["auto", "hybrid", "vision", "off"]),
    "describer_model": TEXT,
    "base_url": ADDRESS,
    "openai_api_key": TEXT,
    "detail": st.sampled_from(["low", "high"]),
    "describer_concurrency": NUMBER,
    "describer_timeout_s": SHARE.map(lambda share: share * 600),
    "max_cost": SHARE,
    "prices": TEXT.map(lambda text: f"/{text}"),
    "caching": st.booleans(),
    "cache_dir": TEXT.map(lambda text: f"/{text}"),
    "cache_redis_url": NUMBER.map(lambda number: f"redis://:secret@localhost/{number}"),
    "store_url": TEXT.map(lambda text: f"s3://{text}/prefix"),
    "store_public_url": ADDRESS,
    "signed_url_expiry_s": NUMBER,
    "catalogue": TEXT.map(lambda text: f"postgresql://jo:secret@localhost/{text}"),
    "listen": NUMBER.map(lambda number: f"127.0.0.1:{number}"),
    "keys_file": TEXT.map(lambda text: f"/{text}"),
    "rate_limit": NUMBER.map(lambda number: f"{number}/minute"),
    "rate_limit_redis_url": NUMBER.map(lambda number: f"redis://:secret@localhost/{number}"),
    "cors_origins": st.lists(NUMBER.map(lambda number: f"https://shop-{number}.example"), min_size=1, max_size=3),
    "max_body_bytes": NUMBER.map(lambda number: number * 1024),
    "max_photo_pixels": NUMBER,
    "max_batch": NUMBER,
    "max_in_flight": NUMBER,
    "body_timeout_s": SHARE.map(lambda share: share * 600),
    "request_timeout_s": SHARE.map(lambda share: share * 600),
    "drain_s": SHARE,
    "jobs": st.booleans(),
    "jobs_database": NUMBER.map(lambda number: f"postgresql://u:secret@localhost/{number}"),
    "job_keep_s": NUMBER.map(float),
    "traces_url": ADDRESS,
}


BAD: list[tuple[str, Any, str]] = [
    ("url", "", "must be a text that is not empty"),
    ("timeout_s", 0, r"must be a number, 0\.1 or more; got '?0'?"),
    ("threshold", 1.5, r"must be a number from 0 to 1; got '?1\.5'?"),
    ("threshold", "high", "must be a number from 0 to 1; got 'high'"),
    ("threshold", "nan", "must be a number from 0 to 1; got 'nan'"),
    ("max_garments", 301, "must be a whole number from 1 to 300; got '?301'?"),
    ("max_garments", 1.5, r"must be a whole number from 1 to 300; got '?1\.5'?"),
    ("vocabulary", " , . ", "must hold a phrase"),
    ("mode", "of", "must be auto, hybrid, vision or off; got 'of'"),
    ("detector", "yolo", "must be served or dinox; got 'yolo'"),
    ("detail", "x" * 100, r"must be low or high\.$"),
    ("caching", "maybe", "must be true or false; got 'maybe'"),
    ("base_url", "ftp://host", "must be a URL that begins with https:// or http://"),
    ("base_url", "http://[half", "must be a URL"),
    ("base_url", "https://jo:hidden@host", r"must not hold a user name or password; [^@]*$"),
    ("store_url", "s3://key:hidden@bucket", r"must not hold a user name or password; [^@]*$"),
    ("openai_api_key", "hidden\nhidden", "must be the key alone"),
    ("dinox_api_key", "hidden h\u00efdden", "must be the key alone"),
    ("cache_redis_url", "http://hidden", "must be a URL that begins with rediss://, redis:// or unix://"),
    ("catalogue", "mysql://hidden", "must be a folder, or a URL that begins with postgresql://"),
    ("max_cost", -1, "must be a number, 0 or more; got '?-1'?"),
    ("signed_url_expiry_s", 604801, "must be a whole number from 1 to 604800; got '?604801'?"),
    ("listen", "8080", "must be HOST:PORT"),
    ("listen", "host:80800", "must be HOST:PORT"),
    ("rate_limit", "many", "must be a number of requests for a time"),
    ("rate_limit_redis_url", "http://hidden", "must be a URL that begins with rediss://, redis:// or unix://"),
    ("cors_origins", "*", "must be origins of web pages"),
    ("cors_origins", "https://shop.example/path", "must be origins of web pages"),
    ("max_body_bytes", 1, "must be a whole number from 1024 to 1073741824; got '?1'?"),
]


def forget_settings(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """No variable and no file of whoever runs the tests; `folder` is where one works."""
    for name in list(os.environ):
        if name.startswith(("FASHIONCROP_", "OPENAI_", "DINOX_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.chdir(folder)


def write_settings(
    values: Mapping[str, Any] | None = None, *, text: str = "", path: Path = Path("fashioncrop.toml"), mode: int = 0o600
) -> Path:
    """Write a file of settings; by default the working folder's."""
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    # JSON's texts, numbers, lists and truths are TOML's too.
    path.write_text("\n".join([text, *(f"{name} = {json.dumps(value)}" for name, value in (values or {}).items())]))
    path.chmod(mode)
    return path
