"""One photo through everything that was asked for: cache, naming, detection, description."""

from fashioncrop.analyzing.analyzer import Analyzer, Mode
from fashioncrop.analyzing.opening import open_analyzer

__all__ = ["Analyzer", "Mode", "open_analyzer"]
