"""How fast a model runs, where the time goes, and how other runtimes do with the same input."""

from embedx.bench.markdown import as_markdown, put_into
from embedx.bench.measurements import bench, parsed_shapes
from embedx.bench.page import as_html
from embedx.bench.report import as_json, as_text

__all__ = ["as_html", "as_json", "as_markdown", "as_text", "bench", "parsed_shapes", "put_into"]
