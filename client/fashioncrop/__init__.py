"""One photo in, every garment out.

>>> from fashioncrop import Client
>>> with Client() as client:  # doctest: +SKIP
...     for garment in client.analyze("photo.jpg").garments:
...         print(garment.phrase, garment.score, garment.box_xyxy)
"""

from fashioncrop._client import AnalyzeOptions, AsyncClient, Client
from fashioncrop._embedded.server import EmbeddedServer
from fashioncrop._fetch import FetchLimits
from fashioncrop._sources import Source
from fashioncrop.errors import FashionCropError
from fashioncrop.results import Analysis, Category, Colour, Crop, Depth, Garment, ModelIdentity, PhotoInfo

__all__ = [
    "Analysis",
    "AnalyzeOptions",
    "AsyncClient",
    "Category",
    "Client",
    "Colour",
    "Crop",
    "Depth",
    "EmbeddedServer",
    "FashionCropError",
    "FetchLimits",
    "Garment",
    "ModelIdentity",
    "PhotoInfo",
    "Source",
]
