"""Check a built site: its links lead somewhere, and no page loads anything from another place."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: Elements and attributes by which a browser fetches something without being asked.
LOADS = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "video": "src"}
#: Relations of a `link` that a browser does not fetch.
NOT_FETCHED = {"canonical", "next", "prev", "alternate"}


class Page(HTMLParser):
    """What one page loads, where its links lead, and the places in it that links can name."""

    def __init__(self, text: str) -> None:
        """Read the page from its HTML."""
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one element."""
        given = {name: value or "" for name, value in attrs}
        self.places.update(given[name] for name in ("id", "name") if name in given)
        target = given.get(LOADS.get(tag, ""), "")
        if target and given.get("rel") not in NOT_FETCHED:
            self.loaded.append(target)
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])


def faults(site: Path) -> list[str]:
    """Return what is wrong with the site, a line each."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    if not pages:
        return [f"{site}: no pages"]
    found = []
    for path, page in pages.items():
        name = path.relative_to(site)
        for target in page.loaded:
            if urlsplit(target).scheme not in ("", "data") or target.startswith("//"):
                found.append(f"{name} loads {target}")
            elif not target.startswith("data:") and not _file(path, target, site).exists():
                found.append(f"{name} lacks {target}")
        found += [
            f"{name} links to {one}" for one in page.links if not _leads_somewhere(path, one, pages, site)
        ]
    return found


def _file(page: Path, target: str, site: Path) -> Path:
    """Return the file that a page means by an address; those of the error page start at the root."""
    part = unquote(urlsplit(target).path)
    if part.startswith("/"):
        return (site / part.lstrip("/")).resolve()
    return (page.parent / part).resolve() if part else page.resolve()


def _leads_somewhere(page: Path, link: str, pages: dict[Path, Page], site: Path) -> bool:
    """Whether a link is one to elsewhere, or to a file of the site and a place that it holds."""
    address = urlsplit(link)
    if address.scheme or link.startswith("//"):
        return True
    file = _file(page, link, site)
    file = file / "index.html" if file.is_dir() else file
    known = {path.resolve(): one for path, one in pages.items()}
    if address.fragment and file in known:
        return unquote(address.fragment) in known[file].places
    return file.exists()
