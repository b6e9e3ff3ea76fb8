"""The report: one HTML page that shows people what was found in photos, and needs nothing but itself.

>>> from fashioncrop.reporting import ReportEntry, write_report
>>> write_report(Path("report.html"), [ReportEntry(analysis, photo_bytes)])  # doctest: +SKIP
"""

from fashioncrop.reporting._report import ReportEntry, ReportFailure, write_report

__all__ = ["ReportEntry", "ReportFailure", "write_report"]
