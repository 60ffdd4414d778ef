"""The page of a suite: `render_report` turns the text results of a folder into tables and figures."""

from eebench.report.render import FileChange, render_report, update_report

__all__ = ["FileChange", "render_report", "update_report"]
