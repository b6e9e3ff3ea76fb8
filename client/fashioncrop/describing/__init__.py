"""Garments in words, by any OpenAI-compatible endpoint. Needs the extra `describe` once a `Describer` is made."""

from fashioncrop.describing.budget import Budget
from fashioncrop.describing.describer import CropToDescribe, Described, Describer
from fashioncrop.describing.estimates import Estimate, estimate
from fashioncrop.describing.naming import NamedGarments
from fashioncrop.describing.prices import ModelPrice, PriceTable
from fashioncrop.describing.prompts import NAMING_VERSION, PROMPT_VERSION, TELLING_VERSION
from fashioncrop.describing.settings import DescriberSettings
from fashioncrop.describing.telling import Told

__all__ = [
    "NAMING_VERSION",
    "PROMPT_VERSION",
    "TELLING_VERSION",
    "Budget",
    "CropToDescribe",
    "Described",
    "Describer",
    "DescriberSettings",
    "Estimate",
    "ModelPrice",
    "NamedGarments",
    "PriceTable",
    "Told",
    "estimate",
]
