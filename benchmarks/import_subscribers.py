"""How long it takes to import subscribers: python benchmarks/import_subscribers.py [ROWS] [DATABASE-URL]

Makes a file of ROWS people (100,000 unless told) and a publication's folder in a place of its own, and runs
`newsletter subscriber import` as a process, twice: into an empty database, and once more on top of that. For
PostgreSQL name the URL of an empty database.
"""

from __future__ import annotations

import csv
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from newsletter import database

CONFIG = """
database = "{url}"
base_url = "https://digest.example.org"
attributes = ["first_name", "city"]
relays = [{{ name = "outbox", kind = "maildir" }}]

[publications.digest]
title = "Digest"
publisher = "Example Society"
postal_address = "100 Example Street"
sender = "digest@example.org"
lists = ["digest"]
cadence = {{ anchor = 2023-11-14 }}
"""

WORDS = ["Amber", "Basil", "Clover", "Ölive", "楓", "قمر", "ดาว", 'O\'J., "J"', "Fern"]


def main(rows: int, url: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "config.toml").write_text(CONFIG.format(url=url), encoding="utf-8")
        (folder / "lists").mkdir()
        (folder / "lists/digest.toml").write_text('title = "Digest"\n', encoding="utf-8")
        chance = random.Random(1)
        with (folder / "people.csv").open("w", encoding="utf-8", newline="") as file:
            write = csv.writer(file).writerow
            write(["Email Address", "First Name", "Last Name", "City", "MEMBER_RATING", "OPTIN_TIME"])
            for number in range(rows):
                write(
                    [
                        f"{chance.choice('abcdefgh')}.reader{number}@example{number % 97}.org",
                        chance.choice(WORDS),
                        f"{chance.randrange(10**6)}",
                        chance.choice(WORDS),
                        3,
                        "2021-04-05 06:07:08",
                    ]
                )
        engine = database.open_database(url, folder)
        database.upgrade(engine)
        engine.dispose()
        command(folder, "list", "apply", "--yes")
        size = (folder / "people.csv").stat().st_size
        print(f"{rows:,} rows, {size / 1e6:.1f} MB, {url.partition(':')[0]}")
        for what in ("new", "known"):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            begun = time.perf_counter()
            command(folder, "subscriber", "import", "people.csv", "--list", "digest")
            took = time.perf_counter() - begun
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(
                f"{what:6} {took:6.2f} s  {cpu:6.2f} CPU-seconds  {rows / took:8,.0f} rows/s  "
                f"peak {after.ru_maxrss / 1024:.0f} MB"
            )


def command(folder: Path, *words: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "newsletter", *words],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )


if __name__ == "__main__":
    main(
        int(sys.argv[1]) if len(sys.argv) > 1 else 100_000,
        sys.argv[2] if len(sys.argv) > 2 else "sqlite:///newsletter.db",
    )
