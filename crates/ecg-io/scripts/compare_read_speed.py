"""Measures how fast WFDB records are read, by ecg-io, wfdb-python and (where it is on the PATH) rdsamp.

    python crates/ecg-io/scripts/compare_read_speed.py [DIR]

All read the same files, which are made in DIR (default: target/read_speed), one after the other in this run; times are
seconds of one processor, user and system, and the files are in memory. Prints a Markdown table. Needs numpy and wfdb.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import wfdb

ROOT = pathlib.Path(__file__).resolve().parents[3]
RECORDS = 200


def per_second(amount, work, least=1.0):
    """How much of the amount a second of processor time does, the best of three rounds."""
    best = float("inf")
    for _ in range(3):
        times, start = 0, os.times()
        while True:
            work()
            times += 1
            now = os.times()
            used = sum(now[:4]) - sum(start[:4])
            if used > least / 3:
                break
        best = min(best, used / times)
    return amount / best


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "target/read_speed").resolve()
    command = ["cargo", "run", "--release", "-q", "-p", "ecg-io", "--example", "read_speed", "--"]
    lines = subprocess.run(
        command + [folder], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.splitlines()
    ours = [json.loads(line) for line in lines]

    short = [str(folder / f"short/r{k:05}") for k in range(RECORDS)]
    day = str(folder / "long/day")

    def read_all(**options):
        for path in short[:50]:
            wfdb.rdrecord(path, **options)

    theirs = {
        "12 x 5000, format 16, into i16": per_second(
            50, lambda: read_all(physical=False, return_res=16)
        ),
        "12 x 5000, format 16, into f32": per_second(50, lambda: read_all(return_res=32)),
        "12 x 5000, format 16, into f64": per_second(50, lambda: read_all()),
        "header of 12 signals": per_second(
            50, lambda: [wfdb.rdheader(path) for path in short[:50]]
        ),
        "24 h x 2, format 212, into i16": per_second(
            2e-6 * 24 * 3600 * 360, lambda: wfdb.rdrecord(day, physical=False, return_res=16)
        ),
        "10 s at 12 h of format 212, into f64": per_second(
            20,
            lambda: [
                wfdb.rdrecord(day, sampfrom=43200 * 360, sampto=43210 * 360) for _ in range(20)
            ],
        ),
    }
    library = {}
    if shutil.which("rdsamp"):
        library["12 x 5000, format 16, into i16"] = per_second(
            50,
            lambda: [
                subprocess.run(
                    ["rdsamp", "-r", path.rsplit("/", 1)[1]],
                    cwd=folder / "short",
                    stdout=subprocess.DEVNULL,
                    check=True,
                )
                for path in short[:50]
            ],
        )
    print("| work | per second of one processor | ecg-io | wfdb-python | ratio | rdsamp (as text) |")
    print("|---|---|---|---|---|---|")
    for row in ours:
        work, rate = row["work"], row["per_second"]
        other = theirs.get(work)
        cells = [
            f"{rate:,.2f}" if rate < 10 else f"{rate:,.0f}",
            f"{other:,.0f}" if other else "",
            f"{rate / other:,.0f}" if other else "",
            f"{library[work]:,.0f}" if work in library else "",
        ]
        print(f"| {work} | {row['unit']} | " + " | ".join(cells) + " |")


main()
