"""The sections that a suite asks for: `render_sections` draws them, each kind in a file of its own."""

from eebench.report.sections.catalogue import Rendered, render_sections

__all__ = ["Rendered", "render_sections"]
