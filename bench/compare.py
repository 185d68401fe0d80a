#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares two builds of steps_bench: is any step slower than before?

    compare.py OLD NEW [--pairs 9] [--turns 20] [--steps mlp,add,...] [--limit 1.02]

OLD and NEW are two steps_bench programs. A pair is one process of each, which stay alive and run
the step in turns of about 20 ms, so that both see the same spells of a noisy machine; the pair's
ratio is the median of its turns' ratios NEW / OLD. Printed for each step: the median times, the
median of the pairs' ratios, and their quartiles. Exits with 1 if a median ratio is above the limit.
"""
import argparse
import statistics
import subprocess
import sys
import time

STEPS = "cnn28,resnet20,resnet18,resnet18_eval,resnet18_folded,mlp,batch_norm_relu,add"
# OpenMP's threads spin for some milliseconds after a turn; they must not run into the other's.
PAUSE = 0.01


class Program:
    """A steps_bench that runs one step, a turn at a time."""

    def __init__(self, path, step):
        self.process = subprocess.Popen([path, "--turns", step], text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.turn()  # warm

    def turn(self):
        """Milliseconds of a step."""
        time.sleep(PAUSE)
        print(file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def pair_of(old, new, step, turns, swap):
    """The median times of both programs, and the median ratio of their turns."""
    both = [Program(old, step), Program(new, step)]
    times = []
    for turn in range(turns):
        order = both if (turn + swap) % 2 == 0 else both[::-1]
        took = {program: program.turn() for program in order}
        times.append([took[program] for program in both])
    for program in both:
        program.stop()
    return [statistics.median(t) for t in zip(*times)], statistics.median(b / a for a, b in times)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--steps", default=STEPS)
    parser.add_argument("--limit", type=float, default=1.02)
    arguments = parser.parse_args()

    slower = False
    print(f"{'step':18} {'old ms':>9} {'new ms':>9} {'new / old':>9}  quartiles")
    for step in arguments.steps.split(","):
        pairs = [pair_of(arguments.old, arguments.new, step, arguments.turns, swap)
                 for swap in range(arguments.pairs)]
        old, new = (statistics.median(values) for values in zip(*(times for times, _ in pairs)))
        ratios = [ratio for _, ratio in pairs]
        ratio = statistics.median(ratios)
        low, _, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        slower |= ratio > arguments.limit
        print(f"{step:18} {old:9.4g} {new:9.4g} {ratio:9.3f}  {low:.3f} to {high:.3f}"
              f"{'  SLOWER' if ratio > arguments.limit else ''}", flush=True)
    return 1 if slower else 0


if __name__ == "__main__":
    sys.exit(main())
