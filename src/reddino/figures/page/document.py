"""HTML in one file: sections, tables and figures, and nothing that is fetched."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from reddino.figures.canvas import figure_png
from reddino.figures.lettering import Numbers
from reddino.foundations.visible import visible

#: Characters that act and that text needs: line breaks, tabs, and the joiners and marks of some scripts.
KEPT = "\n\t\u200c\u200d\u200e\u200f"
_HERE = Path(__file__).parent


@dataclass
class Document:
    """A page that grows section by section.

    Attributes:
        title: of the page.
        lead: a line below it.
        numbers: names that the page's figures could not draw.
        sections: (title, HTML) in order.
        scripts: JavaScript at the end of the page.
        every_page: a line at the foot of the page, and of each sheet that it is printed on; "": none.
    """

    title: str
    lead: str
    numbers: Numbers = field(default_factory=Numbers)
    sections: list[tuple[str, str]] = field(default_factory=list)
    scripts: list[str] = field(default_factory=list)
    every_page: str = ""

    def add(self, title: str, *parts: str) -> None:
        """Append a section of HTML parts; one without parts is left out."""
        body = "\n".join(part for part in parts if part)
        if body:
            self.sections.append((title, body))

    def html(self) -> str:
        """Return the page."""
        links = " ".join(f'<a href="#s{i}">{escape(title)}</a>' for i, (title, _) in enumerate(self.sections))
        bodies = "\n".join(
            f'<section><h2 id="s{i}">{escape(title)}</h2>\n{body}\n</section>'
            for i, (title, body) in enumerate(self.sections)
        )
        scripts = [f"\n{script}" for script in self.scripts]
        style = f"\n{asset('page.css')}"
        code = "\n".join(f"<script>{script}</script>" for script in scripts)
        content = (
            f'<h1>{escape(self.title)}</h1>\n<p class="lead">{escape(self.lead)}</p>\n'
            f'<nav class="screen">{links}</nav>\n{bodies}'
        )
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy(style, scripts)}">\n'
            f"<title>{escape(self.title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
            f"{_with_foot(content, self.every_page)}\n{code}\n</body>\n</html>\n"
        )


def _with_foot(content: str, foot: str) -> str:
    """Return HTML with a line at its end that is repeated on each printed sheet: the foot of a table."""
    if not foot:
        return content
    cell = f'<tfoot><tr><td class="every-page">{escape(foot)}</td></tr></tfoot>'
    return f'<table class="sheet"><tbody><tr><td>\n{content}\n</td></tr></tbody>{cell}</table>'


def policy(style: str, scripts: Sequence[str]) -> str:
    """Return the page's content policy: it loads nothing, and runs and styles by just these texts."""
    allowed = [_digest(script) for script in scripts] or ["'none'"]
    return (
        f"default-src 'none'; img-src data:; style-src {_digest(style)}; script-src {' '.join(allowed)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


def escape(text: str) -> str:
    """Return text as HTML shows it; what acts is written out, except what joins and directs letters."""
    return html.escape(visible(text, keep=KEPT))


def asset(name: str) -> str:
    """Read a file next to this one."""
    return (_HERE / name).read_text(encoding="utf-8")


def paragraph(text: str, *, note: bool = False) -> str:
    """Return a paragraph of plain text."""
    return f"<p class={'note' if note else 'text'}>{escape(text)}</p>"


def table(header: Sequence[str], rows: Sequence[Sequence[Any]], numbers: Sequence[int] = ()) -> str:
    """Return a table of plain text; the columns whose places are in `numbers` are set flush right."""

    def cells(kind: str, values: Sequence[Any]) -> str:
        return "".join(
            f'<{kind} class="{"number" if i in numbers else "break"}">{escape(str(value))}</{kind}>'
            for i, value in enumerate(values)
        )

    head = f"<thead><tr>{cells('th', header)}</tr></thead>" if header else ""
    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="wide"><table>{head}<tbody>{body}</tbody></table></div>'


def facts(values: Mapping[str, Any]) -> str:
    """Return a table of two columns: names and values."""
    return table((), [(name, value) for name, value in values.items() if value not in (None, "")])


def picture(figure: Figure, caption: str, numbers: Numbers, dpi: int = 110) -> str:
    """Return a figure as a PNG (flat colours) or a JPEG (photographs), whichever is smaller.

    Names that no installed font can draw are numbers in it; `numbers` takes them for the page's list.
    """
    drawn = figure_png(figure, dpi, numbers)
    photograph = io.BytesIO()
    Image.open(io.BytesIO(drawn)).convert("RGB").save(photograph, "JPEG", quality=88, subsampling=0)
    files = {"png": drawn, "jpeg": photograph.getvalue()}
    kind = min(files, key=lambda name: len(files[name]) * (1 if name == "png" else 2))
    data = base64.b64encode(files[kind]).decode("ascii")
    return (
        f'<figure><img alt="{escape(caption)}" src="data:image/{kind};base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def embedded_json(name: str, value: Any) -> str:
    """Return JSON that a script of the page reads by its id; no text in it can end the element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'
