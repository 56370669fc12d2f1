# SPDX-License-Identifier: Apache-2.0
"""Plots by gnuplot (of the package gnuplot-nox), beside each other in one PNG."""
import os
import subprocess

from suite.process import Failed

HEAD = """set terminal pngcairo size {width},480 font 'sans,10'
set output '{png}'
set multiplot layout 1,{count}
set xlabel '{xlabel}'
set ylabel '{ylabel}'
set grid
set key top left
"""


def panel(title, series, number):
    """(blocks of data, a plot command); the first series is dashed, as what is expected."""
    blocks, parts = [], []
    for place, (name, points) in enumerate(series):
        block = f"$d{number}_{place}"
        blocks.append(block + " << EOD\n" + "".join(f"{x} {y}\n" for x, y in points) + "EOD\n")
        dash = " dt 2 lc 'black'" if place == 0 else f" lt {place}"
        parts.append(f"{block} using 1:2 with linespoints{dash} title '{name}'")
    return blocks, f"set title '{title}'\nplot " + ", ".join(parts)


def draw(panels, png, xlabel, ylabel, ticks=None, yrange="[0:*]"):
    """panels: (title, [(name, [(x, y)])]). False when gnuplot is not installed."""
    blocks, plots = [], []
    for number, (title, series) in enumerate(panels):
        data, command = panel(title, series, number)
        blocks += data
        plots.append(command)
    head = HEAD.format(width=400 * len(panels), png=png, count=len(panels), xlabel=xlabel,
                       ylabel=ylabel)
    if ticks:
        head += f"set xtics ({', '.join(str(tick) for tick in ticks)})\n"
        head += f"set xrange [{min(ticks) - 2}:{max(ticks) + 2}]\n"
    return run("".join(blocks) + head + f"set yrange {yrange}\n" + "\n".join(plots), png)


def run(script, png):
    """False when gnuplot is not installed."""
    try:
        done = subprocess.run(["gnuplot"], input=script + "\nunset multiplot\n",
                              capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return False
    if done.returncode != 0 or not os.path.exists(png):
        raise Failed(f"gnuplot: {done.stderr.strip()}")
    return True
