"""Compares what ecg-io and wfdb-python read, for every WFDB record of a folder.

    python crates/ecg-io/scripts/compare_with_wfdb_python.py FOLDER

Stored values must be equal; physical ones too, but for the last bit. Prints what differs and which of the two refuses a
record, and ends with status 1 only where wfdb-python reads something else. Where wfdb-python is known to be wrong, give
the records' names with --known. Needs numpy, wfdb and soundfile.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import wfdb

ROOT = pathlib.Path(__file__).resolve().parents[3]


def rows(record, digital):
    """The signals of a record, all samples of each frame."""
    expanded = record.e_d_signal if digital else record.e_p_signal
    if expanded is not None:
        return [np.asarray(row) for row in expanded]
    return list((record.d_signal if digital else record.p_signal).T)


def differences(path, ours):
    """What wfdb-python reads otherwise."""
    header = wfdb.rdheader(str(path))
    segmented = isinstance(header, wfdb.MultiRecord)
    smooth = {"smooth_frames": segmented}
    physical = wfdb.rdrecord(str(path), **smooth)
    wrong = []
    theirs = rows(physical, False) if not segmented else list(physical.p_signal.T)
    for k, row in enumerate(theirs):
        mine = ours.get(f"physical_{k}")
        if segmented and mine is not None and len(mine) > len(row) > 0 == len(mine) % len(row):
            # Of segments wfdb-python gives averages of each frame alone.
            mine = mine.reshape(len(row), -1).mean(axis=1)
        if mine is None or mine.shape != row.shape:
            wrong.append(f"length of signal {k}: {None if mine is None else len(mine)}, {len(row)}")
        elif not np.allclose(mine, row, rtol=1e-13, atol=1e-13, equal_nan=True):
            at = np.flatnonzero(~np.isclose(mine, row, rtol=1e-13, atol=1e-13, equal_nan=True))
            wrong.append(
                f"signal {k}, {len(at)} samples from {at[0]}: {mine[at[0]]}, {row[at[0]]}"
            )
    if not segmented and not any(header.skew or []):
        stored = wfdb.rdrecord(str(path), physical=False, smooth_frames=False, return_res=64)
        for k, row in enumerate(rows(stored, True)):
            if not np.array_equal(ours.get(f"digital_{k}"), row):
                wrong.append(f"stored values of signal {k}")
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--known", default="", help="names, comma-separated")
    arguments = parser.parse_args()
    out = pathlib.Path(tempfile.mkdtemp())
    command = ["cargo", "run", "--release", "-q", "-p", "ecg-io", "--example", "dump_records", "--"]
    subprocess.run(command + [arguments.folder.resolve(), out], cwd=ROOT, check=True)
    equal, failed = 0, False
    for header in sorted(arguments.folder.glob("*.hea")):
        name = header.stem
        ours = out / f"{name}.npz"
        ours = dict(np.load(ours)) if ours.exists() else None
        try:
            wrong = differences(header.with_suffix(""), ours or {})
        except Exception as error:
            print(f"{name}: wfdb-python: {type(error).__name__}: {str(error)[:100]}")
            continue
        if ours is None:
            print(f"{name}: read by wfdb-python alone")
        elif wrong:
            known = name in arguments.known.split(",")
            failed |= not known
            print(f"{name}: {'known' if known else 'DIFFERS'}: {'; '.join(wrong[:3])}")
        else:
            equal += 1
    print(f"{equal} records equal")
    sys.exit(failed)


main()
