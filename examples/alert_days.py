"""Alerts of a backtest by day, as a Markdown table, with what prices did around them.

    bellwether score POSTS --output scored.jsonl
    bellwether backtest --rules RULES --input scored.jsonl --json | python alert_days.py [PRICES]

PRICES is a CSV file with the columns ticker, date (YYYY-MM-DD) and close. The move is that from the
last close before the day to the first close after it, in per cent; empty without a price.
"""

from __future__ import annotations

import csv
import json
import sys
from bisect import bisect_left, bisect_right
from collections import defaultdict
from pathlib import Path

Prices = dict[str, list[tuple[str, float]]]


def main() -> None:
    prices = read_prices(Path(sys.argv[1])) if len(sys.argv) > 1 else {}
    days: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    alerts = json.load(sys.stdin)["result"]["alerts"]
    for alert in alerts:
        said = f"{alert['rule']} {alert['count']}"
        days[(alert["fired_at"] or alert["first_seen"])[:10]][alert["subject"]].append(said)
    print("| day | subject | rules, with the number of events | move |")
    print("| --- | --- | --- | --- |")
    for day in sorted(days):
        for subject, rules in days[day].items():
            kind, _, name = subject.partition(":")
            shown = name if kind == "ticker" else f"{kind} {name}"
            print(f"| {day} | {shown} | {', '.join(rules)} | {move(prices, name, day)} |")


def read_prices(path: Path) -> Prices:
    prices: Prices = defaultdict(list)
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            prices[row["ticker"]].append((row["date"], float(row["close"])))
    for series in prices.values():
        series.sort()
    return prices


def move(prices: Prices, ticker: str, day: str) -> str:
    series = prices.get(ticker, [])
    dates = [date for date, _ in series]
    before, after = bisect_left(dates, day) - 1, bisect_right(dates, day)
    if before < 0 or after >= len(series):
        return ""
    return f"{100 * (series[after][1] / series[before][1] - 1):+.1f}"


if __name__ == "__main__":
    main()
