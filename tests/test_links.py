"""Every link between the pages of this repository leads somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

_CODE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\((?!https?:)([^)\s#]*)#?([^)\s]*)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def _prose(page: Path) -> str:
    return _CODE.sub("", page.read_text(encoding="utf-8"))


def _anchor(heading: str) -> str:
    """Return what GitHub makes of a heading: lower case, hyphens, no punctuation."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def _broken(page: Path) -> list[str]:
    broken = []
    for path, anchor in _LINK.findall(_prose(page)):
        target = page.parent / path if path else page
        if not target.exists():
            broken.append(f"{path}: there is no such file")
        elif anchor and anchor not in map(_anchor, _HEADING.findall(_prose(target))):
            broken.append(f"{path}#{anchor}: no such heading")
    return broken


PAGES = sorted((*ROOT.glob("*.md"), *ROOT.glob("[!.]*/**/*.md")))
"""All but those in hidden folders: ``.venv`` has pages of others."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert not _broken(page)


def test_a_link_to_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Who may, and when?\n[a](#who-may-and-when) [b](#x) [c](y.md)\n")
    assert _broken(page) == ["#x: no such heading", "y.md: there is no such file"]


def test_every_page_is_linked_from_another() -> None:
    linked = {
        (page.parent / path).resolve() if path else page
        for page in PAGES
        for path, _anchor in _LINK.findall(_prose(page))
    }
    pages = sorted((ROOT / "docs").glob("*.md"))
    assert [page.name for page in pages if page not in linked] == []


def test_every_class_that_the_glossary_names_exists() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`([A-Z][a-z]+[A-Za-z]*)`", text))
    sources = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "broker").rglob("*.py")
    )
    assert named
    assert named <= set(re.findall(r"^class (\w+)", sources, re.MULTILINE))
