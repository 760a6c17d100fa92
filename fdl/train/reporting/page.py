"""HTML and SVG as values: an element is made of its children, and every text in it is escaped.

A page is one file. It needs no network and no script, follows the colours (light or dark) that its reader has chosen,
and says in words what its pictures show.
"""

import base64
import html
from collections.abc import Iterable, Sequence
from typing import Any

COLORS = 8  # of series, s0 to s7; each goes with a dash pattern after the first round
_VOID = ("img", "meta")
_SHORT = 25  # letters in a cell whose text stays on one line


class Markup(str):
    """Text that is HTML already, and not escaped again."""

    __slots__ = ()


def element(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """One element.

    Args:
        name: of the tag.
        children: what is in it: `Markup` as it is, all else as escaped text, None left out.
        attributes: with _ for - and at the end of Python's own words; None left out.

    Example:
        >>> element("p", "a < b", element("b", 3), class_="note", aria_label='say "a"')
        '<p class="note" aria-label="say &quot;a&quot;">a &lt; b<b>3</b></p>'
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: Any) -> Markup:
    """Several elements as one."""
    some = [child for child in children if child is not None]
    return Markup("".join(child if isinstance(child, Markup) else html.escape(str(child)) for child in some))


def table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str | None = None) -> Markup:
    """A table; the first of each row is its head. It scrolls by itself where it is too wide.

    Example:
        >>> table(["", "loss"], [["last", "0.5"]])[:47]
        '<div class="wide" tabindex="0" role="region" ar'
    """
    return element(
        "div",
        element(
            "table",
            None if caption is None else element("caption", caption),
            element("thead", element("tr", *(element("th", cell, scope="col") for cell in head))),
            element(
                "tbody",
                *(element("tr", element("th", row[0], scope="row"), *map(_cell, row[1:])) for row in rows),
            ),
        ),
        class_="wide",
        tabindex="0",
        role="region",
        aria_label=caption or "table",
    )


def picture(png: bytes, text: str) -> Markup:
    """A PNG file as an image within the page, with what it shows in words."""
    return element("img", src=f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}", alt=text)


def section(title: str, *children: Any, about: str | None = None) -> Markup:
    """A part of a page, with what is said about it above it."""
    return element("section", element("h2", title), None if about is None else element("p", about), *children)


def grid(children: Iterable[Any], kind: str = "grid") -> Markup:
    """Things side by side, as many as there is room for; "grid small" and "grid images" have room for more."""
    return element("div", *children, class_=kind)


def page(title: str, *sections: Any) -> str:
    """A whole HTML document."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", title),
        element("style", Markup(_STYLE)),
    )
    body = element("body", element("main", element("h1", title), *sections))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _cell(cell: str) -> Markup:
    return element("td", cell, class_="short" if len(cell) <= _SHORT else None)


_SERIES = "".join(f".s{i}{{stroke:var(--s{i})}}.f{i}{{fill:var(--s{i})}}" for i in range(COLORS))
_STYLE = (
    """
:root{--back:#fff;--text:#1d2329;--soft:#57606a;--line:#d0d7de;--card:#f6f8fa;
--s0:#0069a8;--s1:#c24e00;--s2:#007a58;--s3:#a8408c;--s4:#806600;--s5:#4b57c4;--s6:#b3261e;--s7:#5b6470}
@media (prefers-color-scheme:dark){
:root{--back:#14181d;--text:#e6edf3;--soft:#9aa4af;--line:#3b434c;--card:#1c2228;
--s0:#56b4e9;--s1:#ff9d4d;--s2:#3ddbae;--s3:#f0a3d0;--s4:#e6c84c;--s5:#a3adff;--s6:#ff8a80;--s7:#b8c0cc}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--text);font:16px/1.5 system-ui,sans-serif}
main{max-width:1180px;margin:0 auto;padding:1rem}
h1{font-size:1.6rem;margin:.5rem 0}
h2{font-size:1.25rem;margin:2.2rem 0 .6rem;border-bottom:1px solid var(--line);padding-bottom:.2rem}
h3{font-size:1rem;margin:1.2rem 0 .3rem}
p{margin:.4rem 0;max-width:75ch}
.soft,figcaption,caption,summary{color:var(--soft);font-size:.875rem}
.grid{display:grid;gap:1rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,21rem),1fr))}
.small{grid-template-columns:repeat(auto-fill,minmax(min(100%,15rem),1fr))}
.images{grid-template-columns:repeat(auto-fill,minmax(5.5rem,1fr));gap:.75rem}
figure{margin:0;padding:.75rem;background:var(--card);border:1px solid var(--line);border-radius:8px;min-width:0}
.images figure{padding:.4rem}
figure h3{margin:0 0 .3rem}
svg{display:block;width:100%;height:auto}
svg text{fill:var(--soft);font:12px system-ui,sans-serif}
img{display:block;width:100%;height:auto;image-rendering:pixelated;border-radius:4px}
.images figcaption{margin-top:.25rem;line-height:1.3;overflow-wrap:anywhere}
.axis{stroke:var(--line);stroke-width:1;fill:none}
.guide{stroke:var(--soft);stroke-width:1;stroke-dasharray:2 4;fill:none}
.curve{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.d1{stroke-dasharray:7 5}.d2{stroke-dasharray:1.5 4.5}.d3{stroke-dasharray:9 4 1.5 4}
.hill{stroke-width:1.2;fill-opacity:.25}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.1rem 1rem;margin:.4rem 0 0;padding:0;font-size:.875rem}
.legend li{display:flex;align-items:center;gap:.4rem;min-width:0;overflow-wrap:anywhere}
.legend svg{width:30px;flex:none}
.wide{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums;margin:.4rem 0}
caption{text-align:left;padding:.2rem 0}
th,td{text-align:left;vertical-align:top;padding:.25rem .75rem;border-bottom:1px solid var(--line)}
td{min-width:12rem;max-width:min(40rem,75vw);overflow-wrap:anywhere}
.short{white-space:nowrap;min-width:0}
thead th{color:var(--soft);font-weight:600}
details{margin-top:.4rem}
summary{cursor:pointer}
"""
    + _SERIES
)
