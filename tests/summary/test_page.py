import re
from html.parser import HTMLParser

import pytest

from tiles_ecg.summary.document import Block, Cell, Heading, Listing, Paragraph, Picture, table
from tiles_ecg.summary.page import page

VOID = {"meta", "img", "link", "br"}
NASTY = "<script>alert(\"&')</script> a|b"
BLOCKS: list[Block] = [
    Heading(f"Title {NASTY}", 1),
    Heading(f"Task {NASTY}", 2),
    Paragraph(f"Text {NASTY}", f"Lead {NASTY}"),
    table(
        f"Caption {NASTY}", ["Method", NASTY], [["a", NASTY], [NASTY, Cell("x", "strong")], ["b", Cell("y", "code")]]
    ),
    Listing(f"Notes {NASTY}", (NASTY, "two"), is_folded=True),
    Listing("Commands", (NASTY,), is_code=True),
    Picture(f"ROC {NASTY}", f"Caption {NASTY}", b"\x89PNG one"),
    Picture("PR", "Caption", b"\x89PNG two"),
    Heading("Last", 3),
]


class Outline(HTMLParser):
    """Checks that tags are balanced, and collects what is there."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> without a beginning"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)


@pytest.fixture(scope="module")
def html() -> str:
    return page(BLOCKS, f"Window {NASTY}")


@pytest.fixture(scope="module")
def outline(html: str) -> Outline:
    found = Outline()
    found.feed(html)
    found.close()
    return found


def test_tags_are_balanced_and_in_order(outline: Outline) -> None:
    assert outline.open == []
    found = [tag for tag, _ in outline.tags]
    for tag in ("html", "main", "nav", "table", "caption", "thead", "details", "summary", "figure", "figcaption"):
        assert tag in found


def test_nothing_is_fetched_and_every_picture_is_in_the_page(html: str, outline: Outline) -> None:
    assert "http://" not in html
    assert "https://" not in html
    assert not re.search(r"@import|url\(", html)
    sources = [attributes["src"] or "" for tag, attributes in outline.tags if tag == "img"]
    assert len(sources) == 2
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    references = [attributes[k] or "" for _, attributes in outline.tags for k in ("href", "src") if k in attributes]
    assert all(reference.startswith(("#", "data:")) for reference in references)
    assert "default-src 'none'" in html


def test_no_text_becomes_a_tag(outline: Outline) -> None:
    assert "script" not in [tag for tag, _ in outline.tags]
    assert sum(NASTY in text for text in outline.text) >= 12


def test_links_lead_to_headings_that_are_there(outline: Outline) -> None:
    there = {attributes.get("id") for _, attributes in outline.tags}
    links = [attributes["href"] or "" for tag, attributes in outline.tags if tag == "a"]
    assert links
    assert all(link[1:] in there for link in links)


def test_every_row_of_a_table_has_a_cell_for_each_column(html: str) -> None:
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.S)
    assert {len(re.findall(r"<t[hd][ >]", row)) for row in rows} == {2}


def test_the_page_serves_phones_paper_and_the_dark(html: str) -> None:
    assert 'name="viewport" content="width=device-width, initial-scale=1"' in html
    assert "@media print" in html
    assert "prefers-color-scheme: dark" in html
    assert "position: sticky" in html
