"""The one declaration of every setting: name, type, limits, default and what it is for."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import urlsplit

from annotated_types import Ge, Le
from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

PREFIX = "FASHIONCROP_"
_PORTS = 2**16


def _phrases(given: Any) -> Any:  # noqa: ANN401 - checked by pydantic afterwards
    """A text, or several, to phrases: commas, full stops and line ends separate them."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, Iterable) or not all(isinstance(text, str) for text in texts):
        return given
    return tuple(phrase.strip() for text in texts for phrase in re.split(r"[.,\n]", text) if phrase.strip())


def _some(phrases: tuple[str, ...]) -> tuple[str, ...]:
    if not phrases:
        raise ValueError("must hold a phrase: name what to look for, or leave it out for the default")
    return phrases


def _web_address(text: str) -> str:
    try:
        parts = urlsplit(text)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        usable = False
    if not usable or not text.isprintable() or " " in text:
        raise ValueError("must be a URL that begins with https:// or http://")
    return _without_password(text)


def _without_password(text: str) -> str:
    if "@" in text.partition("://")[2].partition("/")[0]:
        raise ValueError("must not hold a user name or password; credentials have places of their own")
    return text


def _header_text(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value().strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("must be the key alone: letters, digits and signs of ASCII, without spaces")
    return SecretStr(text)


def _redis_address(secret: SecretStr) -> SecretStr:
    if not re.match(r"(rediss?|unix)://\S+$", secret.get_secret_value()):
        raise ValueError("must be a URL that begins with rediss://, redis:// or unix://")
    return secret


def _catalogue_place(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if not text.strip() or not text.isprintable() or ("://" in text and not re.match(r"postgres(ql)?://\S+$", text)):
        raise ValueError("must be a folder, or a URL that begins with postgresql://")
    return secret


def _listen_address(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not (
        colon and re.fullmatch(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]", host) and port.isdigit() and int(port) < _PORTS
    ):
        raise ValueError("must be HOST:PORT, such as 127.0.0.1:8080 or [::]:8080")
    return text


def _rate(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]{0,8}/(second|minute|hour|day)", text):
        raise ValueError("must be a number of requests for a time, such as 600/minute (second, minute, hour, day)")
    return text


def _split_origins(given: Any) -> Any:  # noqa: ANN401 - checked by pydantic afterwards
    """A text, or several, to origins: commas and spaces separate them."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, Iterable) or not all(isinstance(text, str) for text in texts):
        return given
    return tuple(origin for text in texts for origin in re.split(r"[,\s]+", text) if origin)


def _web_origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    if not origins or not all(re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]+)?", origin) for origin in origins):
        raise ValueError("must be origins of web pages, such as https://shop.example, without a path")
    return origins


_Text = Annotated[str, Field(min_length=1)]
_WebAddress = Annotated[str, AfterValidator(_web_address)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Key = Annotated[SecretStr, AfterValidator(_header_text)]
_Vocabulary = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_phrases), AfterValidator(_some)]
_File = Annotated[Path, AfterValidator(Path.expanduser)]
_Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split_origins), AfterValidator(_web_origins)]
_Redis = Annotated[SecretStr, AfterValidator(_redis_address)]

Mode = Literal["auto", "hybrid", "vision", "off"]


class Settings(BaseSettings):
    """Everything that can be set. Made by `load_settings`; made directly, it knows defaults and arguments only.

    Attributes:
        warnings: sentences about where settings were found; to be shown.
        files: the files that were read.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        validate_default=False,
    )

    url: _Text | None = Field(
        default=None, description="The server's gRPC address, HOST:PORT. By default the embedded server."
    )
    timeout_s: float = Field(default=120.0, ge=0.1, description="Seconds for each photo.")
    allow_http: bool = Field(default=False, description="Also fetch photos by http, unencrypted.")
    allow_private_addresses: bool = Field(
        default=False, description="Also fetch photos from private and loopback addresses."
    )

    detector: Literal["served", "dinox"] = Field(
        default="served",
        description="Who finds the garments: the model on the server, or the DINO-X service, which is paid.",
    )
    vocabulary: _Vocabulary | None = Field(
        default=None,
        description="What to look for, several phrases separated by commas or full stops: 'shirt. leather bag'. May be "
        "repeated. By default the garments of Fashionpedia.",
    )
    threshold: _Share | None = Field(
        default=None, description="Least score of a garment. By default the server's own, 0.35."
    )
    iou_threshold: _Share | None = Field(
        default=None, description="Most overlap of two boxes of one phrase. By default the server's own, 0.7."
    )
    crop_padding: _Share | None = Field(
        default=None, description="Margin of a crop, as a share of its box. By default the server's own, 0.05."
    )
    max_garments: Annotated[int, Field(ge=1, le=300)] | None = Field(
        default=None, description="At most this many a photo. By default the server's own, 50."
    )
    dinox_api_key: _Key | None = Field(default=None, description="The key of the DINO-X service; also DINOX_API_KEY.")
    dinox_base_url: _WebAddress | None = Field(
        default=None, description="Where the DINO-X service is. By default its maker's."
    )

    mode: Mode = Field(
        default="auto",
        description="Who describes: hybrid (detect, then describe), vision (a large model looks first and its phrases "
        "are looked for), off, or auto: hybrid where a key or a base URL is set, otherwise off.",
    )
    describer_model: _Text = Field(default="gpt-4o-mini", description="The model that describes.")
    base_url: _WebAddress | None = Field(
        default=None,
        description="An OpenAI-compatible server that describes; also OPENAI_BASE_URL. By default OpenAI's.",
    )
    openai_api_key: _Key | None = Field(default=None, description="The describing server's key; also OPENAI_API_KEY.")
    detail: Literal["low", "high"] = Field(
        default="low", description="How closely the describer looks: high costs more."
    )
    describer_concurrency: int = Field(default=8, ge=1, le=1000, description="Photos described at a time, at most.")
    describer_timeout_s: float = Field(default=60.0, ge=0.1, description="Seconds for each description.")
    max_cost: Annotated[float, Field(ge=0)] | None = Field(
        default=None,
        description="Dollars for one run; a paid call that might pass them is not made. By default no limit.",
    )
    prices: _File | None = Field(
        default=None, description="A file of prices per model. By default those that come along."
    )

    caching: bool = Field(default=True, description="Keep answers, so that the same question is not asked twice.")
    cache_dir: _File | None = Field(
        default=None, description="Folder of kept answers. By default in the user's cache folder."
    )
    cache_redis_url: _Redis | None = Field(
        default=None, description="A Redis that keeps answers for several machines; may hold its password."
    )

    store_url: Annotated[_Text, AfterValidator(_without_password)] | None = Field(
        default=None,
        description="Object store or folder for crops and results: s3://bucket/prefix, gs://, az://, file:///.",
    )
    store_public_url: _WebAddress | None = Field(
        default=None, description="Where the store can be read by all; crops get URLs below it instead of signed ones."
    )
    signed_url_expiry_s: int = Field(
        default=86_400, ge=1, le=604_800, description="Seconds for which a signed URL of a crop works, at most a week."
    )

    catalogue: Annotated[SecretStr, AfterValidator(_catalogue_place)] | None = Field(
        default=None,
        description="Where the catalogue is: a folder, or postgresql://USER:PASSWORD@HOST/DATABASE; may hold its "
        "password. By default a folder in the user's data.",
    )

    listen: Annotated[str, AfterValidator(_listen_address)] = Field(
        default="127.0.0.1:8080", description="Where the gateway answers, HOST:PORT."
    )
    keys_file: _File | None = Field(
        default=None, description="The gateway's keys, hashed. By default beside the user's settings."
    )
    rate_limit: Annotated[str, AfterValidator(_rate)] = Field(
        default="600/minute", description="What each of the gateway's keys may ask, in photos and requests for a time."
    )
    rate_limit_redis_url: _Redis | None = Field(
        default=None, description="A Redis that counts for several gateways; may hold its password."
    )
    cors_origins: _Origins | None = Field(
        default=None,
        description="Origins whose web pages may ask the gateway, such as https://shop.example. By default none.",
    )
    max_body_bytes: int = Field(
        default=50_331_648, ge=1024, le=2**30, description="Bytes of a request to the gateway, at most."
    )
    max_photo_pixels: int = Field(
        default=64_000_000, ge=1, le=10**9, description="Pixels of a photo that the gateway takes, at most."
    )
    max_batch: int = Field(default=32, ge=1, le=1000, description="Photos of one request to the gateway, at most.")
    max_in_flight: int = Field(
        default=64,
        ge=1,
        le=10_000,
        description="Requests that the gateway works on at a time; the next is turned away.",
    )
    body_timeout_s: float = Field(
        default=30.0, ge=0.1, description="Seconds within which a request must have reached the gateway whole."
    )
    request_timeout_s: float = Field(
        default=150.0, ge=0.1, description="Seconds within which the gateway answers a request that it has."
    )
    drain_s: float = Field(
        default=5.0,
        ge=0,
        description="Seconds for which a gateway that is told to stop still takes requests while it says: not ready.",
    )
    jobs: bool = Field(default=False, description="Let the gateway take jobs, which workers answer later.")
    jobs_database: Annotated[SecretStr, AfterValidator(_catalogue_place)] | None = Field(
        default=None,
        description="Where jobs are kept: a folder, or postgresql://USER:PASSWORD@HOST/DATABASE; may hold its "
        "password. By default where the catalogue is.",
    )
    job_keep_s: float = Field(
        default=86_400.0, ge=1, le=31_536_000, description="Seconds for which a job and its results are kept."
    )
    traces_url: _WebAddress | None = Field(
        default=None,
        description="Where the gateway's traces go, by OTLP: http://localhost:4318/v1/traces. By default nowhere.",
    )

    _origins: dict[str, str] = PrivateAttr(default_factory=dict)
    _warnings: tuple[str, ...] = PrivateAttr(default=())
    _files: tuple[Path, ...] = PrivateAttr(default=())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments only: `load_settings` reads the rest, and knows what came from where."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about where settings were found; to be shown."""
        return self._warnings

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that were read, the stronger first."""
        return self._files

    @property
    def describing(self) -> Literal["hybrid", "vision", "off"]:
        """The mode, once `auto` is decided."""
        if self.mode == "auto":
            return "hybrid" if self.openai_api_key is not None or self.base_url is not None else "off"
        return self.mode

    def origin(self, name: str) -> str:
        """Where a setting comes from: a flag, a variable, a file or `default`."""
        return self._origins.get(name, "default")


def inner(field: FieldInfo) -> Any:  # noqa: ANN401 - a type
    """The field's type without None and without notes on it."""
    kind: Any = field.annotation
    if type(None) in get_args(kind):
        kind = next(option for option in get_args(kind) if option is not type(None))
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    return kind


def limits(field: FieldInfo) -> tuple[float | None, float | None]:
    """The least and the greatest number that the field takes."""
    notes: list[Any] = list(field.metadata)
    for option in get_args(field.annotation):
        notes += [note for part in get_args(option) if isinstance(part, FieldInfo) for note in part.metadata]
    low: Any = next((note.ge for note in notes if isinstance(note, Ge)), None)
    high: Any = next((note.le for note in notes if isinstance(note, Le)), None)
    return low, high


def is_secret(name: str) -> bool:
    """Whether no part of the setting may ever be shown."""
    return inner(Settings.model_fields[name]) is SecretStr


_FLAGS = {"caching": "cache"}
"""Where the variable cannot have the flag's name: `FASHIONCROP_CACHE` is the exporter's folder."""


def variable(name: str) -> str:
    """The setting's environment variable."""
    return f"{PREFIX}{name.upper()}"


def flag(name: str) -> str:
    """The setting's flag, whose unit is told by its help; empty for secrets."""
    name = _FLAGS.get(name, name)
    return "" if name in Settings.model_fields and is_secret(name) else f"--{name.removesuffix('_s').replace('_', '-')}"
