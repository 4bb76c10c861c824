"""Writes the first inputs of the fuzz targets: python seeds.py OUT (a folder for each target is made there)."""

import gzip
import pathlib
import struct
import sys

HEADERS = [
    "r 2 500 4\nr.dat 16 200/mV 16 0 1 10 0 I\nr.dat 16 200(5)/uV 16 0 2 12 0 II\n",
    "#wfdb 10.7\nr/3 2 250/360.5(100) 12 10:20:30.5 1/2/2003\n~ 4\na 4\nb 4\n#Age: 60\n# Dx: 426783006,164889003\n",
    "r.mat 12 500 5000 05-May-2020 09:49:17\n" + "r.mat 16+24 1000/mV 16 0 -1 100 0 I\n" * 12,
    "r 1\nr.dat 212x4:2+10 1e-3/\u00b5V 12 2048 -7 65535 512 a description\n",
    "JS01052 2 500 500000/mV 16 0 15 31255 0 I\nr.mat 16x1+24 1000/mV 16 0 1 1 0 II\n",
]


def word(code, value):
    return struct.pack("<H", code << 10 | value)


def note(text, code=22):
    return word(code, 0) + word(63, len(text)) + text + b"\0" * (len(text) % 2)


HEAD = note(b"## time resolution: 360") + note(b"## annotation type definitions")
HEAD += note(b"42 c calibration pulse") + note(b"## end of definitions")
SKIP = word(59, 0) + struct.pack("<HH", 0xFFFF, 0xFFFD)
ANNOTATIONS = [
    word(1, 100) + word(60, 255) + word(62, 2) + word(61, 254) + word(5, 1023) + word(0, 0),
    HEAD + SKIP + word(0, 3) + word(28, 0) + note(b"(AFIB\0", 28) + word(42, 7) + word(0, 0),
    word(1, 5) + word(63, 200) + b"abc",
    word(59, 0) + struct.pack("<HH", 0x7FFF, 0xFFFF) + word(45, 1) + word(0, 0) + b"\0\0\0",
]

TABLES = [
    "# fs: 500\n# Age: 61\nI,II,V1 (uV)\nmV,uV,\n0.1,-2,3e-1\n,nan,\"4\"\n",
    "time;I;II\n0;0,5;1\n0,002;0,25;2\n0,004;-,5;3\n",
    "0.1\t-0.2\t1\t2\t3\t4\t5\t6\t7\t8\t9\t10\n" * 2,
    "I,0.1,0.2,0.3\nII,1,2,3\n",
    "time_ms,0,2,4\nI,0.1,0.2,0.3\nII,1,2,3\n",
    "I II III\n1  2 3\n 4 5  6\n",
    "sample|I|\n0|1|\n1|2|\n",
]

# A byte of 1, one that chooses the options, and the table.
CHOSEN = [
    bytes([1, 6]) + b"1:-2.5:3\n0.125:7:-0\n" * 2,
    bytes([1, 1 + 8]) + b"time\tI\tII\n0\t1.5\t2,25\n0.1\t-1.25\t3\t\n",
    bytes([1, 5 + 16]) + b"1 2 3\n4  5 6\n",
    bytes([1, 3 + 8 + 48 + 72]) + b"1,2\n-3.25,4.5\n-3.5,4.125\n12.25,-4\n",
    bytes([1, 2 + 24]) + b"a;V1\n0,5;1e-3\n0,25;nan\n",
]

LABELS = [
    "record,patient,fold,NSR,AF\nr,p1,3,1,0\nx.hea,p2,,0.0,1.0\n",
    "ecg_id,patient_id,age,sex,scp_codes,strat_fold,filename_lr,filename_hr\n"
    "1,5.0,300.0,1,\"{'NORM': 100.0, 'SR': 0.0}\",4,records100/0/r_lr,records500/0/r\n",
    "[labels]\nNSR = { snomed = [426783006], scp = [\"NORM\"], text = [\"sinus rhythm\"] }\n",
    "label,system,code\nNSR,snomed,426783006\nAF,scp,AFIB\nAF,text,atrial fibrillation\n",
]

# Format, signals, samples a frame, skew, offset, length; then the file.
SIGNALS = [bytes([k, 1, 0, 0, 0, 5]) + bytes(range(40, 70)) for k in range(10)]
SIGNALS += [bytes([k, 1, 0b0110, 0b01, 3, 0]) + bytes(range(200, 240)) for k in range(10)]


def crc(data, bits, polynomial):
    value = 0
    for byte in data:
        value ^= byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value >> (bits - 1) & 1 else 0)) & ((1 << bits) - 1)
    return value


def flac(bits, channels, samples):
    """A FLAC file of one frame with verbatim subframes."""
    rate = 96000
    info = struct.pack(">HH", samples, samples) + bytes(6)
    info += (rate << 44 | (channels - 1) << 41 | (bits - 1) << 36 | samples).to_bytes(8, "big") + bytes(16)
    size = {8: 1, 16: 4, 24: 6}[bits]
    head = bytes([0xFF, 0xF8, 6 << 4, (channels - 1) << 4 | size << 1, 0, samples - 1])
    head += bytes([crc(head, 8, 0x07)])
    body = b""
    for channel in range(channels):
        body += b"\x02" + b"".join((k * (channel + 1)).to_bytes(bits // 8, "big") for k in range(samples))
    frame = head + body
    return b"fLaC\x80\0\0\x22" + info + frame + struct.pack(">H", crc(frame, 16, 0x8005))


SIGNALS += [bytes([10 + k, 1, 0, 0, 0, n]) + flac(8 * (k + 1), 2, 16) for k in range(3) for n in (0, 17)]

SEGMENT = "{0} 1 250 4\n{0}.dat 80 100/mV 8 0 0 0 0 I\n"
SEGMENTS = [
    ["r/3 1 250 12\na 4\n~ 4\nb 4\n", SEGMENT.format("a"), SEGMENT.format("b"), "", "abcd", "efgh"],
    [
        "r/4 2 250 12\nr_layout 0\na 4\n~ 4\nb 4\n",
        SEGMENT.format("a"),
        SEGMENT.format("b").replace(" I\n", " II\n").replace("100", "50"),
        "r_layout 2 250 0\n~ 0 100/mV 8 0 0 0 0 I\n~ 0 50/mV 8 0 0 0 0 II\n",
        "abcd",
        "efgh",
    ],
    ["r/2 1 250 8\nr 4\na 4\n", SEGMENT.format("a"), "", "", "abcd"],
]


def main():
    out = pathlib.Path(sys.argv[1])
    parts = {
        "header": [text.encode() for text in HEADERS],
        "annotations": ANNOTATIONS,
        "csv": [text.encode() for text in TABLES],
        "labels": [text.encode() for text in LABELS],
        "signal": SIGNALS,
        "segments": ["\n===\n".join(part.rstrip("\n") for part in parts).encode() for parts in SEGMENTS],
    }
    parts["csv"] += CHOSEN
    parts["csv"].append(gzip.compress(parts["csv"][0], mtime=0))
    for target, inputs in parts.items():
        folder = out / target
        folder.mkdir(parents=True, exist_ok=True)
        for number, data in enumerate(inputs):
            (folder / f"seed{number:02}").write_bytes(data)


main()
