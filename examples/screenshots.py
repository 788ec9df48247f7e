"""Pictures of every page of a running console, light and dark, wide and narrow.

docs/images is made so, with `make demo` running in another terminal and its lesson over:

    python examples/screenshots.py docs/images

Needs the development packages and Chromium.
"""

from __future__ import annotations

import argparse
import itertools
import shutil
from collections import Counter
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Page, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PAGES = ("alerts", "alert", "tickets", "teach", "markets", "subject", "models", "health")
SIZES = {"": (1280, 860), "-390": (390, 844)}
THEMES: dict[str, Literal["light", "dark"]] = {"": "light", "-dark": "dark"}
RULE = "negative-news-on-ticker"
EXPLAIN = "Which words decided?"
EXPLAIN_MS = 240_000
KEPT_COLOURS = 48
COLOURS = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path)
    parser.add_argument("--address", default="http://127.0.0.1:8765")
    options = parser.parse_args()
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        parser.error("needs Chromium on the PATH")
    options.output.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for name, theme, size in itertools.product(PAGES, THEMES, SIZES):
            width, height = SIZES[size]
            page = chromium.new_page(
                viewport={"width": width, "height": height}, color_scheme=THEMES[theme]
            )
            page.goto(f"{options.address}{address_of(page, options.address, name)}")
            page.wait_for_selector('main[aria-busy="false"]')
            prepare(page, name)
            file = options.output / f"console-{name}{theme}{size}.png"
            # The calibration plots are far down; on a telephone the page would be a ribbon.
            page.screenshot(path=file, full_page=name == "models" and not size)
            make_small(file)
            print(f"{file} {file.stat().st_size // 1024} KB")
            page.close()
        chromium.close()


def address_of(page: Page, console: str, name: str) -> str:
    """The path of a page; an alert with several events, and its subject."""
    if name not in {"alert", "subject"}:
        return f"/{name}"
    alerts = page.request.get(f"{console}/api/v1/alerts?state=all").json()["alerts"]
    one = max(alerts, key=lambda row: (row["rule"] == RULE, row["count"], row["id"]))
    kind, _, identity = one["subject"].partition(":")
    return f"/alerts/{one['id']}" if name == "alert" else f"/subjects/{kind}/{identity}"


def prepare(page: Page, name: str) -> None:
    """What a reader would do first: have the words explained, wait for the dead letters."""
    if name == "alert":
        page.get_by_role("button", name=EXPLAIN).click()
        page.wait_for_selector(".why", timeout=EXPLAIN_MS)
        page.wait_for_selector(f"button:text('{EXPLAIN}'):not([disabled])", timeout=EXPLAIN_MS)
        page.mouse.click(0, 0)
    if name == "health":
        page.wait_for_selector("section:has(h2:text('Dead letters')) table")
    page.wait_for_timeout(300)


def make_small(file: Path) -> None:
    """Few colours: the commonest as they are, which grounds and text are, and some for the rest."""
    with Image.open(file) as opened:
        picture = opened.convert("RGB")
    parts = picture.tobytes()
    commonest = Counter(zip(parts[::3], parts[1::3], parts[2::3], strict=True)).most_common(
        KEPT_COLOURS
    )
    rest = picture.quantize(COLOURS - KEPT_COLOURS, method=Image.Quantize.MAXCOVERAGE)
    palette = Image.new("P", (1, 1))
    palette.putpalette(
        [*itertools.chain(*(colour for colour, _ in commonest)), *(rest.getpalette() or ())]
    )
    picture.quantize(palette=palette, dither=Image.Dither.NONE).save(file, optimize=True)


if __name__ == "__main__":
    main()
