"""Pictures of every page of a running console, light and dark, wide and narrow.

docs/images is made so, with `make demo` running in another terminal and its input done:

    python examples/screenshots.py docs/images        # those that the documentation shows
    python examples/screenshots.py /tmp/look --all    # every page, theme and width, whole pages

Needs the development packages and Chromium.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PAGES = ("alerts", "alert", "tickets", "teach", "markets", "subject", "models", "health")
WIDE = 1280
SIZES = {WIDE: 860, 390: 844}
TALL = {"models": 1_460}
SHOWN = (
    *((page, "light", WIDE) for page in PAGES),
    ("alert", "dark", WIDE),
    ("markets", "dark", WIDE),
    ("alerts", "light", 390),
    ("alert", "dark", 390),
)
"""Page, theme and width of what the documentation shows."""
RULE = "negative-news-on-ticker"
EXPLAIN = "Which words decided?"
EXPLAIN_MS = 240_000
COLOURS = 128
"""Enough for pages of text, at a third of the size."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--address", default="http://127.0.0.1:8765")
    parser.add_argument("--all", action="store_true", help="every combination, the whole page")
    options = parser.parse_args()
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        parser.error("needs Chromium on the PATH")
    options.output.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for name, theme, width in _combinations() if options.all else SHOWN:
            page = chromium.new_page(
                viewport={"width": width, "height": TALL.get(name, SIZES[width])},
                color_scheme="dark" if theme == "dark" else "light",
            )
            page.goto(f"{options.address}{address_of(page, options.address, name)}")
            page.wait_for_selector('main[aria-busy="false"]')
            prepare(page, name)
            suffix = ("-dark" if theme == "dark" else "") + (f"-{width}" if width < WIDE else "")
            file = options.output / f"console-{name}{suffix}.png"
            page.screenshot(path=file, full_page=options.all)
            with Image.open(file) as picture:
                few = picture.convert("RGB").quantize(
                    COLOURS, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE
                )
            few.save(file, optimize=True)
            print(f"{file} {file.stat().st_size // 1024} KB")
            page.close()
        chromium.close()


def _combinations() -> Iterator[tuple[str, str, int]]:
    for page in PAGES:
        for theme in ("light", "dark"):
            for width in SIZES:
                yield page, theme, width


def address_of(page: Page, console: str, name: str) -> str:
    """The path of a page; an alert with several events, and its subject."""
    if name not in {"alert", "subject"}:
        return f"/{name}"
    alerts = page.request.get(f"{console}/api/v1/alerts?state=all").json()["alerts"]
    one = max(alerts, key=lambda row: (row["rule"] == RULE, row["count"], row["id"]))
    kind, _, identity = one["subject"].partition(":")
    return f"/alerts/{one['id']}" if name == "alert" else f"/subjects/{kind}/{identity}"


def prepare(page: Page, name: str) -> None:
    """What a reader would do first: have the words explained."""
    if name == "alert":
        page.get_by_role("button", name=EXPLAIN).click()
        page.wait_for_selector(".why", timeout=EXPLAIN_MS)
        page.wait_for_selector(f"button:text('{EXPLAIN}'):not([disabled])", timeout=EXPLAIN_MS)
    page.wait_for_timeout(300)


if __name__ == "__main__":
    main()
