"""Pages for people, each one HTML file that needs nothing but itself: what was found in photos, and in a catalogue.

>>> from fashioncrop.reporting import ReportEntry, write_report
>>> write_report(Path("report.html"), [ReportEntry(analysis, photo_bytes)])  # doctest: +SKIP
"""

from fashioncrop.reporting._fragment import Look, look, photo_section
from fashioncrop.reporting._gallery import query_words, write_gallery
from fashioncrop.reporting._report import ReportEntry, ReportFailure, write_report

__all__ = [
    "Look",
    "ReportEntry",
    "ReportFailure",
    "look",
    "photo_section",
    "query_words",
    "write_gallery",
    "write_report",
]
