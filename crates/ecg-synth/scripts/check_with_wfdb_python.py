"""Reads what `synthesize` wrote with wfdb-python and checks it.

    synthesize --out A --records 40
    synthesize --out B --records 40 --format csv
    python check_with_wfdb_python.py A B

Needs wfdb and numpy. For every record of A/labels.csv: twelve leads in the standard order, checksums, physical values equal to
those of B bit for bit, the limb leads' identities in the integers, and the labels equal to the header's #Dx.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import wfdb

LEADS = "I II III aVR aVL aVF V1 V2 V3 V4 V5 V6".split()
CODES = {
    "NSR": "426783006",
    "AF": "164889003",
    "IAVB": "270492004",
    "LBBB": "164909002",
    "RBBB": "59118001",
    "SB": "426177001",
    "STach": "427084000",
}


def check(folder: Path, tables: Path, row: dict) -> None:
    name = row["record"]
    record = wfdb.rdrecord(str(folder / name))
    digital = wfdb.rdrecord(str(folder / name), physical=False)
    assert record.sig_name == LEADS, record.sig_name
    assert record.units == ["mV"] * 12, record.units
    assert record.adc_gain == [1000.0] * 12 and record.baseline == [0] * 12

    values = digital.d_signal.astype(np.int64)
    sums = values.sum(axis=0)
    assert all((s - c) % 65536 == 0 for s, c in zip(sums, digital.checksum)), "checksum"

    table = tables / f"{name}.csv"
    lines = [line for line in table.read_text().splitlines() if not line.startswith("#")]
    assert lines[0].split(",") == LEADS, lines[0]
    expected = np.array([[float(value) for value in line.split(",")] for line in lines[1:]])
    assert record.p_signal.shape == expected.shape, (record.p_signal.shape, expected.shape)
    assert np.array_equal(record.p_signal, expected), "physical values"

    one, two, three, avr, avl, avf = values[:, :6].T
    assert np.array_equal(three, two - one), "III = II - I"
    assert not (avr + avl + avf).any(), "aVR + aVL + aVF = 0"
    for twice, stored in ((-(one + two), avr), (2 * one - two, avl), (2 * two - one, avf)):
        assert np.abs(2 * stored - twice).max() <= 1, "Goldberger"

    dx = next(c.split(":")[1] for c in record.comments if c.strip().lower().startswith("dx"))
    codes = {code.strip() for code in dx.split(",")}
    for label, code in CODES.items():
        assert (row[label] == "1") == (code in codes), (label, dx)


def main() -> None:
    folder, tables = Path(sys.argv[1]), Path(sys.argv[2])
    with open(folder / "labels.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        try:
            check(folder, tables, row)
        except AssertionError as error:
            sys.exit(f"{row['record']}: {error}")
    counts = {label: sum(row[label] == "1" for row in rows) for label in CODES}
    print(f"{len(rows)} records right; wfdb-python {wfdb.__version__}; positives {counts}")


if __name__ == "__main__":
    main()
