"""Crops and analyses kept for good: in a folder, or in a bucket of S3, Google Cloud, Azure or Supabase.

What is kept is named by its content, so that keeping it again costs one question, and writing it twice does no harm.

>>> store = open_store("s3://bucket/prefix", StoreOptions(urls="signed"))  # doctest: +SKIP
>>> stored = await store_analysis(store, analysis, photo)  # doctest: +SKIP
>>> stored.analysis.garments[0].crop.url, stored.failures  # doctest: +SKIP
"""

from fashioncrop.storing.analyses import StoredAnalysis, StoreFailure, store_analysis
from fashioncrop.storing.opening import Store, check_store, open_store
from fashioncrop.storing.options import StoreOptions
from fashioncrop.storing.problems import StoreUnusableError
from fashioncrop.storing.stored import StoredObject

__all__ = [
    "Store",
    "StoreFailure",
    "StoreOptions",
    "StoreUnusableError",
    "StoredAnalysis",
    "StoredObject",
    "check_store",
    "open_store",
    "store_analysis",
]
