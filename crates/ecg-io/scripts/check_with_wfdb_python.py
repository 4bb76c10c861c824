"""Checks that wfdb-python reads what ecg-io writes.

    cargo run -p ecg-io --example write_formats -- target/formats
    python crates/ecg-io/scripts/check_with_wfdb_python.py target/formats

Needs numpy and wfdb.
"""

import pathlib
import sys

import numpy as np
import wfdb


def check(path):
    """Compares one record with the values beside it; returns what differs."""
    expected = np.load(path)
    name = str(path.with_suffix(""))
    record = wfdb.rdrecord(name)
    stored = wfdb.rdrecord(name, physical=False, return_res=64)
    wrong = []
    if not np.array_equal(record.p_signal.T, expected["physical"], equal_nan=True):
        wrong.append("physical values")
    valid = ~np.isnan(expected["digital"])
    if not np.array_equal(stored.d_signal.T[valid], expected["digital"][valid]):
        wrong.append("stored values")
    if stored.calc_checksum() != [c % 65536 for c in stored.checksum]:
        wrong.append("checksums")
    if [s[0] for s in stored.d_signal.T] != stored.init_value:
        wrong.append("initial values")
    code, n_leads = path.stem[1:].split("_")
    header = wfdb.rdheader(name)
    fields = {
        "fmt": [code] * int(n_leads),
        "n_sig": int(n_leads),
        "sig_len": expected["digital"].shape[1],
        "units": ["mV"] * int(n_leads),
        "baseline": [0] * int(n_leads),
        "adc_zero": [0] * int(n_leads),
        "block_size": [0] * int(n_leads),
        "adc_gain": [float(expected["gain"])] * int(n_leads),
        "adc_res": [{"212": 12, "80": 8, "24": 24, "32": 32}.get(code, 16)] * int(n_leads),
        "file_name": [f"{path.stem}.dat"] * int(n_leads),
        "record_name": path.stem,
    }
    wrong += [field for field, value in fields.items() if getattr(header, field) != value]
    leads = ["I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6"]
    if record.sig_name != leads[: record.n_sig] or record.fs != 500:
        wrong.append("names or rate")
    if record.comments != ["Age: 61", "Sex: Male", "Dx: 426783006,59118001"]:
        wrong.append("comments")
    return wrong


def main():
    paths = sorted(pathlib.Path(sys.argv[1]).glob("*.npz"))
    failures = {path.stem: wrong for path in paths if (wrong := check(path))}
    for name, wrong in failures.items():
        print(f"{name}: {', '.join(wrong)} differ")
    print(f"{len(paths) - len(failures)} of {len(paths)} records equal")
    sys.exit(bool(failures) or not paths)


main()
