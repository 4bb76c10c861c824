"""Measures 3DECG-Net (corrected) in PyTorch, eager, beside this toolkit, in one run and on the same maths.

    python crates/ecg3d-models/scripts/compare_with_pytorch.py [--rounds N] [--threads 1,2]
        [--precisions f32,bf16] [--program FILE]

Needs torch 2.11 and numpy. Both get the same parameters, and the script ends if their logits differ by more than 1e-4. Work of
either is measured in a process of its own, by turns; a table in Markdown says the least median of the rounds, in seconds of the
clock and of the processors, and the ratio. PyTorch's network is the plain one: a loop of Conv2d over the steps of a ConvLSTM,
Conv3d, BatchNorm3d, autocast for bf16, torch.optim.Adam. The C library keeps freed memory for both, as `keep_freed_memory` has it.
"""

import argparse
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

ROOT = pathlib.Path(__file__).resolve().parents[3]


class ConvLstm2d(nn.Module):
    """Gates i, f, c, o; hard sigmoids of slope 1/5, as Keras has them."""

    def __init__(self, inputs, filters):
        super().__init__()
        self.filters = filters
        self.conv = nn.Conv2d(inputs + filters, 4 * filters, 3, padding=1)

    def forward(self, x):  # [n, step, channel, height, width]
        n, _, _, height, width = x.shape
        h = c = x.new_zeros(n, self.filters, height, width)
        states = []
        for step in x.unbind(1):
            i, f, g, o = self.conv(torch.cat([step, h], 1)).chunk(4, 1)
            i, f, o = ((0.2 * gate + 0.5).clamp(0, 1) for gate in (i, f, o))
            c = f * c + i * torch.tanh(g)
            h = o * torch.tanh(c)
            states.append(h)
        return torch.stack(states, 1)


def batch_norm(channels):
    return nn.BatchNorm3d(channels, eps=1e-3, momentum=0.01)


class Block(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.bn_1 = batch_norm(inputs)
        self.conv_1 = nn.Conv3d(inputs, outputs, 3, padding=1)
        self.bn_2 = batch_norm(outputs)
        self.conv_2 = nn.Conv3d(outputs, outputs, 3, padding=1)
        self.squeeze = nn.Linear(outputs, 4, bias=False)
        self.excite = nn.Linear(4, outputs, bias=False)
        self.skip = nn.Conv3d(inputs, outputs, 1)

    def forward(self, x):
        y = self.conv_1(F.relu(self.bn_1(x)))
        y = self.conv_2(F.relu(self.bn_2(y)))
        gate = torch.sigmoid(self.excite(F.relu(self.squeeze(y.mean((2, 3, 4))))))
        return y * gate[:, :, None, None, None] + self.skip(x)


class Head(nn.Module):
    def __init__(self):
        super().__init__()
        self.key, self.query, self.value = (nn.Linear(32, 1) for _ in range(3))

    def forward(self, x):  # [n, depth, height, width, channel]
        score = self.key(x) * self.query(x)
        alpha = score.flatten(1).softmax(1).view_as(score) * score[0].numel()
        return alpha * self.value(x)


class ThreeDEcgNet(nn.Module):
    def __init__(self, labels=7):
        super().__init__()
        self.conv_lstm_1, self.bn_1 = ConvLstm2d(1, 16), batch_norm(16)
        self.conv_lstm_2, self.bn_2 = ConvLstm2d(16, 16), batch_norm(16)
        self.block_1, self.block_2, self.block_3 = Block(16, 32), Block(32, 32), Block(32, 32)
        self.head_1, self.head_2, self.head_3 = Head(), Head(), Head()
        self.dense_1 = nn.Linear(3 * 7**3, 128)
        self.dense_2 = nn.Linear(128, 16)
        self.dense_3 = nn.Linear(16, labels)

    def forward(self, x):  # [n, depth, height, width]
        x = F.relu(self.bn_1(self.conv_lstm_1(x.unsqueeze(2)).transpose(1, 2)))
        x = F.relu(self.bn_2(self.conv_lstm_2(x.transpose(1, 2)).transpose(1, 2)))
        x = self.block_3(self.block_2(self.block_1(x)))  # [n, 32, 45, 45, 45]
        x = F.max_pool3d(F.pad(x, (2, 2) * 3, value=-torch.inf), 7)
        x = x.permute(0, 2, 3, 4, 1)
        x = torch.cat([self.head_1(x), self.head_2(x), self.head_3(x)], -1).flatten(1)
        x = F.relu(self.dense_2(F.relu(self.dense_1(x))))
        return self.dense_3(F.dropout(x, 0.25, self.training))

    def load(self, path):
        """Takes the parameters of this toolkit's .safetensors file."""
        data = pathlib.Path(path).read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        header.pop("__metadata__")
        own = {}
        for name, entry in header.items():
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            values = np.frombuffer(data[begin:end], "<f4").reshape(entry["shape"])
            own[name] = torch.from_numpy(values.copy())
        names = {
            "gamma": "weight", "beta": "bias", "moving_mean": "running_mean",
            "moving_variance": "running_var", "kernel": "weight",
        }  # fmt: skip
        state = {}
        for name, values in own.items():
            path, last = name.rsplit(".", 1)
            if path.startswith("conv_lstm"):
                if last == "kernel":
                    both = [values, own[f"{path}.recurrent_kernel"]]
                    state[f"{path}.conv.weight"] = torch.cat(both, 1)
                elif last == "bias":
                    state[f"{path}.conv.bias"] = values
                continue
            state[f"{path.replace('.se.', '.')}.{names.get(last, last)}"] = values
        missing, unexpected = self.load_state_dict(state, strict=False)
        missing = [name for name in missing if not name.endswith("num_batches_tracked")]
        if missing or unexpected:
            sys.exit(f"parameters that differ: {missing}, {unexpected}")
        return self


def volumes(batch):
    phase = torch.arange(batch * 45**3, dtype=torch.float64) * 0.1
    return phase.sin().float().view(batch, 45, 45, 45)


def measure(work, batch, precision, threads, repeats):
    """What the toolkit's example does, in PyTorch; prints JSON."""
    torch.set_num_threads(threads)
    torch.manual_seed(1)
    net = ThreeDEcgNet()
    x, y = volumes(batch), torch.zeros(batch, 7)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")
    net.train(work == "step")
    adam = torch.optim.Adam(net.parameters(), lr=1e-3, eps=1e-7)

    def once():
        if work == "forward":
            with torch.inference_mode(), autocast:
                net(x)
            return
        adam.zero_grad()
        with autocast:
            logits = net(x)
        F.binary_cross_entropy_with_logits(logits.float(), y).backward()
        adam.step()

    once()
    before, seconds = time.process_time(), []
    for _ in range(repeats):
        start = time.perf_counter()
        once()
        seconds.append(time.perf_counter() - start)
    processor = (time.process_time() - before) / repeats
    status = pathlib.Path("/proc/self/status").read_text()
    (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    peak = int(peak) * 1024 / 1e6
    print(json.dumps({"seconds": seconds, "processor_seconds": processor, "peak_mb": peak}))


def result(command):
    # Threads that wait would take the processor from whatever else runs, and count as busy.
    environment = os.environ | {
        "OMP_WAIT_POLICY": "passive",
        "GLIBC_TUNABLES": "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=4294967296",
    }
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout)


def check(program):
    """Whether both compute the same."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "net.safetensors"
        ours = torch.tensor(result([program, "save", path])["logits"])
        net = ThreeDEcgNet().load(path).eval()
        with torch.inference_mode():
            theirs = net(volumes(1))[0]
    difference = (ours - theirs).abs().max().item()
    if not difference < 1e-4:
        sys.exit(f"the logits differ by {difference}: not the same maths")
    print(f"Largest difference of the logits: {difference:.1e}. torch {torch.__version__}.\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--precisions", default="f32,bf16")
    parser.add_argument("--program", help="the built example network_speed [default: built now]")
    parser.add_argument("--child", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        work, batch, precision, threads, repeats = arguments.child
        return measure(work, int(batch), precision, int(threads), int(repeats))
    program = arguments.program
    if not program:
        build = ["cargo", "build", "--release", "-q", "-p", "ecg3d-models", "--example", "network_speed"]
        subprocess.run(build, cwd=ROOT, check=True)
        program = ROOT / "target/release/examples/network_speed"
    check(program)
    print("| work | threads | ours, s | PyTorch, s | ratio | ours, processor s | PyTorch | ratio | ours, peak MB | PyTorch |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for work, batch, repeats in [("forward", 1, 7), ("step", 4, 2)]:
        for precision in arguments.precisions.split(","):
            for threads in arguments.threads.split(","):
                job = [str(part) for part in (work, batch, precision, threads, repeats)]
                commands = [[program, *job], [sys.executable, __file__, "--child", *job]]
                rounds = [[result(command) for command in commands] for _ in range(arguments.rounds)]
                best = []
                for results in zip(*rounds):
                    best.append([
                        min(sorted(own["seconds"])[len(own["seconds"]) // 2] for own in results),
                        min(own["processor_seconds"] for own in results),
                        min(own["peak_mb"] for own in results),
                    ])  # fmt: skip
                ours, theirs = best
                name = f"{'forward' if work == 'forward' else 'training step'}, batch {batch}, {precision}"
                cells = [name, threads]
                for k in range(2):
                    cells += [f"{ours[k]:.3f}", f"{theirs[k]:.3f}", f"{theirs[k] / ours[k]:.1f}"]
                cells += [f"{ours[2]:.0f}", f"{theirs[2]:.0f}"]
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
