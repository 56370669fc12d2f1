# SPDX-License-Identifier: Apache-2.0
"""Two pictures of a result: who reaches how much of the base in each row, and the curves."""
from suite import gnuplot, goals, scaling

COLORS = ("#1b6ca8", "#d1495b", "#66a182", "#edae49", "#8d6a9f")
OWN_COLORS = {"raw": "#7f7f7f", "coffer": "#1b6ca8", "coffer-evp": "#4b8fc4", "plain": "#a9cfee",
              "qemu-luks": "#d1495b", "nbdkit-luks": "#e58a6f", "gocryptfs": "#edae49"}
THOUSANDS = 5000  # from where on an axis counts in k and M
COLUMNS = 2


def escaped(text):
    return text.replace("\\", "").replace("'", "").replace("_", "\\_").replace("\n", " ")


def bars_of(group):
    """(names, rows): the rows that many run or that have a goal, a list of ratios each, None where
    there is none."""
    names = [name for name in group["contenders"] if name != group["base"]]
    rows = []
    for entry in group["rows"]:
        own = entry["contenders"]
        if len(own) > 2 or len(names) == 1 or goals.ratio_wanted(entry["name"]) is not None:
            rows.append((entry["name"], [own[name]["ratio"] if name in own else None
                                         for name in names]))
    return names, rows


def bar_panel(number, title, group):
    """A cluster of bars a row, a colour a contender; the black lines are the goals."""
    names, rows = bars_of(group)
    lines = []
    for name, ratios in rows:
        goal = goals.ratio_wanted(name)
        label = escaped(name).replace("-back", "\\n-back")  # or it runs into the next one
        lines.append(" ".join([f'"{label}"', "NaN" if goal is None else str(goal),
                               *("NaN" if ratio is None else f"{ratio:.4f}" for ratio in ratios)]))
    block = f"$bars{number}"
    plots = [f"{block} using {place + 3}:xtic(1) title '{escaped(name)}' "
             f"lc rgb '{OWN_COLORS.get(name, COLORS[-1])}'" for place, name in enumerate(names)]
    plots.append(f"{block} using 0:2:(0.45) with xerrorbars lw 3 pt 0 lc rgb 'black' title 'goal'")
    return (f"{block} << EOD\n" + "\n".join(lines) + "\nEOD\n",
            f"set title '{escaped(title)}'\nset ylabel 'to {group['base']} of the same round'\n"
            f"plot {', '.join(plots)}, 1 lc rgb '#7f7f7f' dt 2 title '{group['base']}'")


def draw_bars(result, titles, png):
    """False when gnuplot is not installed, or there is nothing to draw."""
    groups = [(titles[name], group) for name, group in result["groups"].items()
              if "rows" in group and bars_of(group)[1]]
    if not groups:
        return False
    panels = [bar_panel(number, title, group) for number, (title, group) in enumerate(groups)]
    head = (f"set terminal pngcairo size 1100,{400 * len(panels)} font 'sans,10'\n"
            f"set output '{png}'\nset multiplot layout {len(panels)},1\n"
            "set style data histogram\nset style histogram clustered gap 1\n"
            "set style fill solid 0.9 noborder\nset logscale y 2\nset yrange [0.03:16]\n"
            "set grid ytics\nset key outside right top\nset xtics scale 0\nset bars small\n"
            "set bmargin 3\n"
            "set ytics (0.03125, 0.0625, 0.125, 0.25, 0.5, 1, 2, 4, 8, 16)\n")
    return gnuplot.run("".join(data for data, _ in panels) + head
                       + "\n".join(plot for _, plot in panels), png)


def curve_panel(number, one):
    blocks, plots = "", []
    for place, (name, points) in enumerate(one["series"].items()):
        block = f"$c{number}_{place}"
        blocks += block + " << EOD\n" + "".join(f"{x} {y}\n" for x, y in points) + "EOD\n"
        who, _, what = name.partition(", ")
        color = OWN_COLORS.get(who, COLORS[place % len(COLORS)])
        dash = 2 if what == "write" else 1
        plots.append(f"{block} using 1:2 with linespoints lw 2 pt 7 ps 0.6 dt {dash} "
                     f"lc rgb '{color}' title '{escaped(name)}'")
    ticks = sorted({x for points in one["series"].values() for x, _ in points})
    few = len(ticks) <= 12
    scale = f"{'set' if 'x' in one['logarithmic'] else 'unset'} logscale x\n"
    tics = "set xtics (" + ", ".join(f"'{x:g}' {x}" for x in ticks) + ")\n" if few else \
        "set xtics autofreq\n"
    top = max(y for points in one["series"].values() for _, y in points)
    count = "%.1s%c" if top >= THOUSANDS else "%g"
    return blocks, (f"set format y '{count}'\n"
                    f"set title '{escaped(one['title'])}'\nset xlabel '{escaped(one['xlabel'])}'\n"
                    f"set ylabel '{escaped(one['ylabel'])}'\n{scale}{tics}"
                    "plot " + ", ".join(plots))


def draw_curves(result, png):
    """False when gnuplot is not installed, or there is nothing to draw."""
    curves = list(result.get("scaling", {}).get("curves", {}).values())
    if "snapshots" in result:
        curves.append(scaling.of_snapshots(result["snapshots"]))
    if not curves:
        return False
    panels = [curve_panel(number, one) for number, one in enumerate(curves)]
    rows = -(-len(panels) // COLUMNS)
    head = (f"set terminal pngcairo size {560 * COLUMNS},{380 * rows} font 'sans,10'\n"
            f"set output '{png}'\nset multiplot layout {rows},{COLUMNS}\nset grid\n"
            "set key outside below\nset yrange [0:*]\n")
    return gnuplot.run("".join(data for data, _ in panels) + head
                       + "\n".join(plot for _, plot in panels), png)
