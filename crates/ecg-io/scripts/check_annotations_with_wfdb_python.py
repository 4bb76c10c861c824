"""Checks annotation files against wfdb-python: that we read the same, and that it reads what we write.

    cargo run -p ecg-io --example rewrite_annotations -- target/annotations 100.atr 100.qrs ...
    python crates/ecg-io/scripts/check_annotations_with_wfdb_python.py target/annotations 100.atr 100.qrs ...

wfdb-python keeps the NUL at the end of texts and drops every note at time 0; both are allowed for. Needs numpy and wfdb.
"""

import pathlib
import sys

import wfdb


def of_wfdb_python(path):
    """Rows of (sample, code, symbol, subtype, channel, number, text), and the time resolution."""
    record, extension = str(path.with_suffix("")), path.suffix[1:]
    elements = ["label_store", "symbol"]
    ann = wfdb.rdann(record, extension, return_label_elements=elements)
    texts = [text.rstrip("\0") for text in ann.aux_note]
    # NaN where there is no symbol.
    pairs = zip(ann.label_store, ann.symbol)
    symbols = [s if isinstance(s, str) else f"[{code}]" for code, s in pairs]
    columns = [ann.sample, ann.label_store, symbols, ann.subtype, ann.chan, ann.num, texts]
    return [tuple(row) for row in zip(*columns)], ann.fs


def of_ours(path):
    first, *lines = path.read_text().splitlines()
    rows = []
    for line in lines:
        sample, code, symbol, subtype, channel, number, text = line.split("\t")
        text = "".join(chr(int(c)) for c in text.split())
        rows.append((int(sample), int(code), symbol, int(subtype), int(channel), int(number), text))
    return rows, first


def main():
    out, *paths = map(pathlib.Path, sys.argv[1:])
    wrong = 0
    for path in paths:
        rows, resolution = of_ours(out / (path.name + ".tsv"))
        kept = [row for row in rows if not (row[0] == 0 and row[1] == 22)]
        read, fs = of_wfdb_python(path)
        written, fs_written = of_wfdb_python(out / path.name)
        same_fs = resolution == "None" or float(resolution[5:-1]) == fs == fs_written
        faults = [
            name
            for name, same in [
                ("reading", read == kept),
                ("writing", written == kept),
                ("time resolution", same_fs),
            ]
            if not same
        ]
        wrong += bool(faults)
        print(f"{path.name}: {len(rows)} annotations, {', '.join(faults) or 'equal'}")
    sys.exit(bool(wrong) or not paths)


main()
