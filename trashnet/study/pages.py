"""A report as one page, in Markdown and in HTML."""

import base64
import html
import re
from collections.abc import Iterable, Sequence
from typing import Any

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: auto; padding: 1rem; }
table { border-collapse: collapse; font-size: .9rem; display: block; overflow-x: auto; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }
img { max-width: 100%; }
"""

Block = tuple[str, Any]
"""A heading, paragraph, list, table or the picture: its kind and its content."""


def as_markdown(blocks: Sequence[Block]) -> str:
    """Return the blocks as Markdown."""
    parts = []
    for kind, content in blocks:
        match kind:
            case "h1" | "h2":
                parts.append(f"{'#' * int(kind[1])} {content}")
            case "ul":
                parts.append("\n".join(f"- {item}" for item in content))
            case "img":
                parts.append(f"![Accuracy and recall by setting]({content})")
            case "table":
                rule = f"|{'---|' * content.shape[1]}"
                rows = [_row(row) for row in content.to_numpy()]
                parts.append("\n".join([_row(content), rule, *rows]))
            case _:
                parts.append(content)
    return "\n\n".join(parts) + "\n"


def as_html(blocks: Sequence[Block], picture: bytes) -> str:
    """Return the blocks as one page that needs nothing else, the picture inside."""
    parts = []
    for kind, content in blocks:
        match kind:
            case "ul":
                items = "".join(f"<li>{html.escape(item)}</li>" for item in content)
                parts.append(f"<ul>{items}</ul>")
            case "img":
                data = base64.b64encode(picture).decode()
                parts.append(
                    f'<img alt="Accuracy and recall by setting" src="data:image/png;base64,{data}">'
                )
            case "table":
                parts.append(content.to_html(index=False, border=0))
            case _:
                parts.append(f"<{kind}>{html.escape(content)}</{kind}>")
    title = html.escape(str(blocks[0][1]))
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style>\n" + "\n".join(parts) + "\n</html>\n"
    )


def _row(cells: Iterable[Any]) -> str:
    """Return a line of a Markdown table; a class may be called ``a|b``, which is one cell."""
    # Backslashes, too: one before a bar would take the escape for itself.
    escaped = (re.sub(r"([|\\])", r"\\\1", str(cell)) for cell in cells)
    return f"| {' | '.join(escaped)} |"
