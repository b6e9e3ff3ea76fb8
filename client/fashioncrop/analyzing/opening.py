"""From settings to an analyser with everything that it needs, and its end."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fashioncrop._client import AnalyzeOptions, AsyncClient
from fashioncrop._fetch import FetchLimits
from fashioncrop.analyzing.analyzer import Analyzer, Mode
from fashioncrop.caching import Cache, open_cache
from fashioncrop.describing import Budget, Describer, DescriberSettings, PriceTable
from fashioncrop.dinox import DinoX, DinoXSettings
from fashioncrop.errors import CredentialError
from fashioncrop.settings import Settings
from fashioncrop.storing import Store, StoreOptions, check_store, open_store


def options_of(settings: Settings) -> AnalyzeOptions:
    """What the server is asked for; what is not set is the server's own default."""
    given = {
        "vocabulary": settings.vocabulary,
        "score_threshold": settings.threshold,
        "iou_threshold": settings.iou_threshold,
        "crop_padding": settings.crop_padding,
        "max_garments": settings.max_garments,
    }
    chosen: Any = {name: value for name, value in given.items() if value is not None}
    options: AnalyzeOptions = chosen
    return options


def describer_settings(settings: Settings) -> DescriberSettings:
    """How garments are described."""
    return DescriberSettings(
        model=settings.describer_model,
        base_url=settings.base_url,
        api_key=settings.openai_api_key,
        detail=settings.detail,
        max_concurrency=settings.describer_concurrency,
        timeout_s=settings.describer_timeout_s,
    )


@dataclass(frozen=True)
class Parts:
    """What analysers are made of; shared by any number of them.

    Attributes:
        client: of the server.
        describer: None where nobody describes.
        detector: DINO-X; None where it was not asked for.
        cache: None where nothing is kept.
        store: None where nothing is stored.
    """

    client: AsyncClient
    describer: Describer | None
    detector: DinoX | None
    cache: Cache | None
    store: Store | None


@asynccontextmanager
async def open_parts(
    settings: Settings,
    *,
    dinox: bool,
    budget: Budget | None = None,
    on_warning: Callable[[str], None] = lambda _sentence: None,
    headers: Callable[[], Mapping[str, str]] = dict,
) -> AsyncIterator[Parts]:
    """Everything that the settings name, opened; closed at the end.

    Args:
        settings: see `Settings`.
        dinox: whether DINO-X is one of them.
        budget: counts dollars; by default one with the settings' limit.
        on_warning: is told, in one sentence, what is wrong with the cache, or soon will be with the describer.
        headers: see `AsyncClient`.

    Raises:
        ServerUnavailableError: no server is known.
        CredentialError: a key is missing.
        OptionError: settings do not go together, or an extra is not installed.
        StorageError: the store cannot be written.
    """
    async with AsyncExitStack() as stack:
        limits = FetchLimits(allow_http=settings.allow_http, allow_private_addresses=settings.allow_private_addresses)
        client = AsyncClient(settings.url, timeout_s=settings.timeout_s, fetch_limits=limits, headers=headers)
        await stack.enter_async_context(client)
        describer: Describer | None = None
        if settings.describing != "off":
            counted = budget or Budget(settings.max_cost)
            prices = PriceTable.load(settings.prices)
            notice = prices.retirement(settings.describer_model, dt.datetime.now().astimezone().date())
            if notice is not None and settings.base_url is None:
                on_warning(notice)
            describer = Describer(describer_settings(settings), prices=prices, budget=counted)
            await stack.enter_async_context(describer)
        detector: DinoX | None = None
        if dinox:
            detector = await stack.enter_async_context(DinoX(_dinox_settings(settings)))
        cache = _cache(settings, on_warning)
        if cache is not None:
            stack.push_async_callback(cache.close)
        store = await _store(settings)
        if store is not None:
            stack.push_async_callback(store.close)
        yield Parts(client, describer, detector, cache, store)


@asynccontextmanager
async def open_analyzer(
    settings: Settings,
    options: AnalyzeOptions | None = None,
    *,
    budget: Budget | None = None,
    on_warning: Callable[[str], None] = lambda _sentence: None,
) -> AsyncIterator[Analyzer]:
    """An analyser as the settings want it; what it opened is closed at the end.

    Args:
        settings: see `Settings`.
        options: instead of those in the settings.
        budget: counts dollars; by default one with the settings' limit.
        on_warning: is told, in one sentence, what is wrong with the cache, or soon will be with the describer.

    Raises:
        FashionCropError: as `open_parts`.
    """
    dinox = settings.detector == "dinox"
    async with open_parts(settings, dinox=dinox, budget=budget, on_warning=on_warning) as parts:
        yield Analyzer(
            parts.client,
            options=options if options is not None else options_of(settings),
            mode=Mode(settings.describing),
            describer=parts.describer,
            detector=parts.detector,
            cache=parts.cache,
            store=parts.store,
        )


def _cache(settings: Settings, on_warning: Callable[[str], None]) -> Cache | None:
    if not settings.caching:
        return None
    return open_cache(settings.cache_redis_url or settings.cache_dir, on_warning=on_warning)


async def _store(settings: Settings) -> Store | None:
    """The store, once a small file shows that it can be written."""
    if settings.store_url is None:
        return None
    public = settings.store_public_url
    options = StoreOptions(
        urls="signed" if public is None and not _is_folder(settings.store_url) else "public" if public else "location",
        public_base_url=public,
        signed_url_s=settings.signed_url_expiry_s,
        allow_http=settings.allow_http,
    )
    store = open_store(settings.store_url, options)
    try:
        await check_store(store)
    except BaseException:
        await store.close()
        raise
    return store


def _is_folder(url: str) -> bool:
    return "://" not in url or url.startswith("file://")


def _dinox_settings(settings: Settings) -> DinoXSettings:
    if settings.dinox_api_key is None:
        raise CredentialError(
            "The DINO-X service needs a key. Set DINOX_API_KEY, or use the server's own detector: --detector served"
        )
    given = {"base_url": settings.dinox_base_url, "score_threshold": settings.threshold}
    chosen: Any = {name: value for name, value in given.items() if value is not None}
    return DinoXSettings(api_key=settings.dinox_api_key, **chosen)
