"""Answers that were paid or waited for once, kept by what they answer: the photo's content, the models, the options.

Two places: a folder of this machine (the default), and a Redis server that several machines share. A cache never stops
work: one that cannot be read or written is told in one sentence, and the work goes on without it.

>>> cache = open_cache()  # doctest: +SKIP
>>> key = cache_key("analysis", {"photo": photo_bytes, "models": digests, "vocabulary": phrases})  # doctest: +SKIP
>>> data = await cache.get(key)  # doctest: +SKIP
>>> analysis = decode_analysis(data) if data else None  # doctest: +SKIP
"""

from fashioncrop.caching.keys import cache_key
from fashioncrop.caching.opening import Cache, default_cache_folder, open_cache
from fashioncrop.caching.values import decode_analysis, decode_json, encode_analysis, encode_json

__all__ = [
    "Cache",
    "cache_key",
    "decode_analysis",
    "decode_json",
    "default_cache_folder",
    "encode_analysis",
    "encode_json",
    "open_cache",
]
