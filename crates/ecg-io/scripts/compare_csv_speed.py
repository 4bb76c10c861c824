"""Measures how fast a CSV table is read, by ecg-io, pandas and polars, in one run.

    python crates/ecg-io/scripts/compare_csv_speed.py [ROUNDS]

All read the same file of 12 leads and a million samples (78 MB), by turns, three times each in a process of its own; the least seconds of all
rounds, on the clock and of all processors, go into a Markdown table. pandas gives a DataFrame of f64 and polars one of its own, ecg-io
a recording in mV with its leads. Needs pandas and polars.
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
FILE = pathlib.Path(tempfile.gettempdir()) / "ecg-io-csv-speed.csv"
READ = {
    "pandas": "import pandas; read = lambda path: pandas.read_csv(path, comment='#').shape",
    "polars": "import polars; read = lambda path: polars.read_csv(path, comment_prefix='#').shape",
}
TIMED = """
import json, sys, time
times = []
for _ in range(3):
    clock, processor = time.perf_counter(), time.process_time()
    shape = read(sys.argv[1])
    times.append([time.perf_counter() - clock, time.process_time() - processor])
    assert shape == (1_000_000, 12), shape
print(json.dumps([min(column) for column in zip(*times)]))
"""


def run(command):
    return subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout.splitlines()


def ours():
    command = ["cargo", "run", "--release", "-q", "-p", "ecg-io", "--example", "csv_speed", "--"]
    times = [
        [float(number) for number in re.findall(r"(\d+\.\d+) s(?: of CPU|;)?", line)[:2]]
        for line in run(command + [str(FILE), "3"])
    ]
    return [min(column) for column in zip(*times)]


def theirs(library):
    return json.loads(run([sys.executable, "-c", READ[library] + TIMED, str(FILE)])[0])


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    if not FILE.exists():
        run(["cargo", "run", "--release", "-q", "-p", "ecg-io", "--example", "csv_speed"])
    work = {"ecg-io": ours} | {name: lambda name=name: theirs(name) for name in READ}
    best = {name: [float("inf")] * 2 for name in work}
    for _ in range(rounds):
        for name, measure in work.items():
            best[name] = [min(pair) for pair in zip(best[name], measure())]
    print("| reader | s | processor s |")
    print("|---|---:|---:|")
    for name, (clock, processor) in best.items():
        print(f"| {name} | {clock:.2f} | {processor:.2f} |")


main()
