#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tables (Markdown) and a chart (SVG) from the results of steps_bench --peer.

    report.py STEPS.json... [--avx2 AVX2.json...] [--chart FILE.svg] [--readme README.md]

Of several runs it takes the median of each figure. --readme writes the tables between the marks of
that file that name the system of the runs; without it, they are printed.
"""
import argparse
import json
import re
import statistics
from html import escape

NAMES = {
    "cnn28": "cnn28 (`train_cnn`'s net), training, batch 64",
    "resnet20": "resnet20, width 16, training, batch 128",
    "resnet18": "resnet18, width 64, training, batch 32",
    "resnet18_eval": "resnet18, width 64, evaluation, batch 32",
    "resnet18_folded": "the same with batch norm folded into the convolutions",
    "mlp": "MLP 4-64-64-2 tanh, training with Adam, batch 32",
    "batch_norm_relu": "batch norm + ReLU, forward + backward, 64x64x32x32",
    "add": "addition of two tensors of 8 elements, recorded",
}
MARKS = ("<!-- what report.py writes on {} -->", "<!-- end -->")


def read(paths):
    """The last context, and medians of the counters by the benchmark's name without its options."""
    context, values = {}, {}
    for path in paths:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
        context = data["context"]
        for run in data["benchmarks"]:
            if run.get("error_occurred"):
                raise SystemExit(f"{path}: {run['name']}: {run['error_message']}")
            counters = values.setdefault(
                re.sub(r"/(iterations:\d+|manual_time)", "", run["name"]), {})
            for key, value in run.items():
                if isinstance(value, (int, float)):
                    counters.setdefault(key, []).append(value)
    return context, {name: {key: statistics.median(found) for key, found in counters.items()}
                     for name, counters in values.items()}


def number(value):
    """Three digits; thousandths of a millisecond as such."""
    if value is None:
        return "-"
    if value < 0.001:
        return f"{value:.2g}"
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def verdict(met):
    return "met" if met else "**missed**"


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


TARGETS = {"cnn28": 3.5, "resnet20": 2.2, "resnet18": 2.2, "resnet18_eval": 2.5, "mlp": 7,
           "batch_norm_relu": 3}


def target_of(name, run, runs):
    """A step's target beside PyTorch, and whether it is met."""
    faster = run.get("faster")
    if not faster:
        return "-"
    if name == "add":
        return f"0.3 us: {verdict(run['tern_ms'] <= 0.0003)}"
    if name == "resnet18_folded":
        least = runs.get("step/resnet18_eval", {}).get("faster", TARGETS["resnet18_eval"])
        return f"faster than unfolded: {verdict(faster > least)}"
    return f"{TARGETS[name]}: {verdict(faster >= TARGETS[name])}"


def steps_of(runs):
    return [(name, runs["step/" + name]) for name in NAMES if "step/" + name in runs]


WRONG = (" (wrong results: they differ from the contiguous ones and from Tern's by more than 1e-3)")


def step_tables(runs):
    beside_torch, beside_parts = [], []
    for name, run in steps_of(runs):
        faster = run.get("faster")
        beside_torch.append([
            NAMES[name], number(run["tern_ms"]), number(run.get("pytorch_ms")),
            number(run.get("pytorch_channels_last_ms"))
            + (WRONG if run.get("channels_last_wrong") else ""),
            f"**{faster:.2f}**" if faster else "-", target_of(name, run, runs)])
        if "operations_ms" not in run:
            continue
        beside_parts.append([
            NAMES[name], number(run["tern_ms"]), number(run["operations_ms"]),
            f"{run['of_operations']:.2f}", verdict(run["of_operations"] <= 1.2),
            f"{number(run['operations_from_memory_ms'])} ({run['of_operations_from_memory']:.2f})",
            f"{number(run['floor_ms'])} ({run['of_floor']:.2f})",
            f"{number(run['winograd_floor_ms'])} ({run['of_winograd_floor']:.2f})"])
    return (
        table(["step", "Tern", "PyTorch contiguous", "PyTorch channels_last", "times faster",
               "target"],
              beside_torch),
        table(["step", "whole", "its operations alone", "whole / operations", "target: at most 1.2",
               "operations, data from memory", "oneDNN direct", "oneDNN with Winograd"],
              beside_parts))


def batches_of(runs):
    prefix = "image_ms_"
    return sorted((int(key[len(prefix):]), value)
                  for key, value in runs.get("batch/resnet20", {}).items()
                  if key.startswith(prefix))


def further_table(runs, avx2):
    command = "`./run bench --peer --benchmark_filter={}`".format
    rows = []
    if "threads/resnet18" in runs:
        run = runs["threads/resnet18"]
        rows.append(["resnet18 training, 2 threads against 1",
                     f"{number(run['one_ms'])} and {number(run['two_ms'])} ms: "
                     f"{run['faster']:.2f} times (additions in registers: "
                     f"{run['registers']:.2f})",
                     "at least 1.85", verdict(run["faster"] >= 1.85), command("threads/")])
    batches = batches_of(runs)
    if batches:
        spread = max(ms for _, ms in batches) / min(ms for _, ms in batches)
        rows.append(["resnet20 training, ms per image, batch "
                     + ", ".join(str(size) for size, _ in batches),
                     ", ".join(number(ms) for _, ms in batches) + f": largest / smallest {spread:.2f}",
                     "flat (at most 1.15)", verdict(spread <= 1.15), command("batch/")])
    if "step/resnet18" in avx2:
        run = avx2["step/resnet18"]
        rows.append(["resnet18 training, both limited to AVX2",
                     f"{number(run['tern_ms'])} ms; PyTorch {number(run['pytorch_ms'])} and "
                     f"{number(run['pytorch_channels_last_ms'])}: {run['faster']:.2f} times faster",
                     "at least 1.8", verdict(run["faster"] >= 1.8),
                     "`ONEDNN_MAX_CPU_ISA=AVX2 ./run bench --peer "
                     "--benchmark_filter=step/resnet18/`"])
    if "memory/resnet20" in runs and "ratio" in runs["memory/resnet20"]:
        run = runs["memory/resnet20"]
        rows.append(["resnet20 training, peak memory of the process (VmHWM)",
                     f"{run['tern_mb']:.0f} MB; PyTorch {run['pytorch_mb']:.0f} and "
                     f"{run['pytorch_channels_last_mb']:.0f}: {run['ratio']:.2f} of PyTorch's",
                     "at most 0.5", verdict(run["ratio"] <= 0.5), command("memory/")])
    if "memory/batches" in runs:
        run = runs["memory/batches"]
        rows.append(["cnn28, 50 batch sizes at random, peak memory of the process",
                     f"{run['early_mb']:.1f} MB after 1,000 steps, {run['late_mb']:.1f} after 10,000",
                     "flat (at most 1 % more)",
                     verdict(run["late_mb"] <= 1.01 * run["early_mb"]), command("memory/")])
    return table(["figure", "measured", "target", "", "command"], rows)


def section(context, runs, avx2, count):
    date = context["date"][:10]
    torch, parts = step_tables(runs)
    return f"""{date}. {context['cpu']}, {context['tern_threads']} threads, {context['system']}; \
Tern {context['tern']}, oneDNN {context['onednn']}, g++ {context['compiler']}, \
PyTorch {context['pytorch']}. Milliseconds, medians{f" of {count} runs" if count > 1 else ""}.

### Beside PyTorch's C++ side

    ./run bench --peer --benchmark_filter=step/

{torch}

### Beside its own parts

    ./run bench --peer --benchmark_filter=step/

{parts}

### Threads, batches, AVX2, memory

{further_table(runs, avx2)}
"""


# ---- the chart: bars of Tern's time and PyTorch's, each step on a scale of its own --------------

TERN, TORCH, INK, PALE = "#1a7f6b", "#c9662b", "#333333", "#dddddd"


def text(x, y, content, anchor="start", color=INK, weight="normal", size=13):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}" '
            f'font-weight="{weight}" font-size="{size}">{escape(content)}</text>')


def chart(context, runs):
    width, left, right, top, row = 860, 330, 110, 62, 44
    rows = []
    for name, run in steps_of(runs):
        if "pytorch_ms" in run:
            torch = min(run["pytorch_ms"], run.get("pytorch_channels_last_ms", float("inf")))
            rows.append((NAMES[name].replace("`", ""), run["tern_ms"], torch, run["faster"]))
    height = top + row * len(rows) + 34
    scale = width - left - right
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
           'font-family="sans-serif">',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           text(16, 26, "Time of a step, Tern and PyTorch's C++ side", weight="bold", size=16),
           text(16, 46, "milliseconds; each pair of bars has its own scale; PyTorch's faster "
                        "memory format", color="#666666", size=12)]
    for i, (name, tern, torch, faster) in enumerate(rows):
        y = top + row * i
        longest = max(tern, torch)
        out.append(text(left - 10, y + 22, name, "end", size=12))
        for offset, value, color in ((5, tern, TERN), (20, torch, TORCH)):
            length = scale * value / longest
            inside = length > 60
            out.append(f'<rect x="{left}" y="{y + offset}" width="{length:.1f}" height="13" '
                       f'fill="{color}"/>')
            out.append(text(left + length + (-5 if inside else 5), y + offset + 10.5,
                            number(value), "end" if inside else "start",
                            "white" if inside else INK, size=11))
        out.append(text(width - 16, y + 24, f"{faster:.1f} times", "end", weight="bold"))
        out.append(f'<line x1="16" x2="{width - 16}" y1="{y + row - 4}" y2="{y + row - 4}" '
                   f'stroke="{PALE}"/>')
    y = height - 12
    for x, color, label in ((left, TERN, f"Tern {context['tern']}"),
                            (left + 110, TORCH, f"PyTorch {context['pytorch']}")):
        out.append(f'<rect x="{x}" y="{y - 10}" width="11" height="11" fill="{color}"/>')
        out.append(text(x + 16, y, label, size=12))
    out.append(text(width - 16, y, f"{context['cpu']}, {context['tern_threads']} threads, "
                    f"{context['date'][:10]}", "end", "#666666", size=11))
    return "\n".join(out + ["</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("steps", nargs="+")
    parser.add_argument("--avx2", nargs="+", default=[])
    parser.add_argument("--chart")
    parser.add_argument("--readme")
    arguments = parser.parse_args()
    context, runs = read(arguments.steps)
    avx2 = read(arguments.avx2)[1]
    result = section(context, runs, avx2, len(arguments.steps))
    if arguments.chart:
        with open(arguments.chart, "w", encoding="utf-8") as file:
            file.write(chart(context, runs))
    if not arguments.readme:
        print(result, end="")
        return
    mark = MARKS[0].format(context["system"])
    with open(arguments.readme, encoding="utf-8") as file:
        before, found, rest = file.read().partition(mark)
    if not found:
        raise SystemExit(f"{arguments.readme} has no line {mark}")
    after = rest.partition(MARKS[1])[2]
    with open(arguments.readme, "w", encoding="utf-8") as file:
        file.write(f"{before}{mark}\n\n{result}\n{MARKS[1]}{after}")


if __name__ == "__main__":
    main()
