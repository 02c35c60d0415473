"""Draws a run: a panel for each scenario, in it a bar for each proxy, as long as its CPU per request
is beside that of nginx. Its own colours and background, for light and for dark."""

from xml.sax.saxutils import escape

COLUMNS = 3
NAME, SCALE, FIGURES = 100, 128, 92  # widths in a panel: the names, the bars, the figures
WIDTH, GAP, MARGIN = NAME + SCALE + FIGURES, 20, 20  # of a panel, between them, around all
BAR, ROW, TITLE, HEADER = 11, 17, 26, 62
MOST = 2.5  # times nginx: where longer bars are cut

STYLE = """
  .back { fill: #ffffff } .title, .panel { fill: #1f2328 } .note, .name, .figure { fill: #59636e }
  .ours { fill: #1a7f37 } .lane { fill: #8ccf9b } .base { fill: #57606a } .rival { fill: #b6bec7 }
  .name.mine, .figure.mine { fill: #1f2328; font-weight: 600 } .line { stroke: #57606a; stroke-dasharray: 2 2 } .cut { fill: #ffffff }
  @media (prefers-color-scheme: dark) {
    .back { fill: #0d1117 } .title, .panel, .name.mine, .figure.mine { fill: #f0f6fc } .note, .name, .figure { fill: #9198a1 }
    .ours { fill: #3fb950 } .lane { fill: #23682f } .base { fill: #9198a1 } .rival { fill: #3d444d }
    .line { stroke: #9198a1 } .cut { fill: #0d1117 }
  }
  text { font-family: system-ui, sans-serif; font-size: 11px } .title { font-size: 16px; font-weight: 600 }
  .panel { font-size: 12px; font-weight: 600 } .name { text-anchor: end }
"""


def of(run: dict) -> str:
    """The whole picture, as SVG."""
    scenarios = [scenario for scenario in run["scenarios"] if scenario["proxies"]]
    rows = [scenarios[at : at + COLUMNS] for at in range(0, len(scenarios), COLUMNS)]
    parts, top = [], HEADER
    for row in rows:
        for at, scenario in enumerate(row):
            parts.append(panel(scenario, MARGIN + at * (WIDTH + GAP), top))
        top += TITLE + ROW * max(len(scenario["proxies"]) for scenario in row) + GAP
    width, height = 2 * MARGIN + COLUMNS * WIDTH + (COLUMNS - 1) * GAP, top
    summary = f"{run['gateway']}; {run['hardware'].split(', load')[0]}; {run['date']}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">\n'
        f"<title>CPU per request beside nginx</title>\n<style>{STYLE}</style>\n"
        f'<rect class="back" width="{width}" height="{height}" rx="6"/>\n'
        + text(MARGIN, 30, "title", "CPU per request beside nginx: shorter is better")
        + text(MARGIN, 48, "note", f"µs of user and system time, and how much that is of nginx's in the same round. {summary}")
        + "".join(parts)
        + "</svg>\n"
    )


def panel(scenario: dict, left: int, top: int) -> str:
    parts = [text(left, top + 14, "panel", scenario["title"])]
    for at, proxy in enumerate(scenario["proxies"]):
        parts.append(bar(proxy, left, top + TITLE + at * ROW))
    line, height = left + NAME + SCALE / MOST, len(scenario["proxies"]) * ROW
    parts.append(f'<line class="line" x1="{line:.1f}" x2="{line:.1f}" y1="{top + TITLE - 4}" y2="{top + TITLE + height - 4}"/>\n')
    return "".join(parts)


def bar(proxy: dict, left: int, top: int) -> str:
    ratio = proxy["to_nginx"]["cpu_us"]
    times = ratio["median"] if ratio else 0.0
    length = min(times, MOST) * SCALE / MOST
    mine = " mine" if proxy["name"] == "gateway" else ""
    figures = f"{proxy['cpu_us']:.1f} µs" + (f" · {times:.2f}" if ratio else "")
    parts = [text(left + NAME - 6, top + BAR - 2, "name" + mine, proxy["name"])]
    parts.append(f'<rect class="{kind(proxy["name"])}" x="{left + NAME}" y="{top}" width="{length:.1f}" height="{BAR}" rx="1.5"/>\n')
    if times > MOST:
        cut = left + NAME + SCALE - 14
        parts.append(f'<path class="cut" d="M{cut} {top + BAR + 1}l4 -{BAR + 2}h3l-4 {BAR + 2}z"/>\n')
    parts.append(text(left + NAME + SCALE + 5, top + BAR - 2, "figure" + mine, figures))
    return "".join(parts)


def kind(name: str) -> str:
    if name == "gateway":
        return "ours"
    if name.startswith("gateway"):
        return "lane"
    return "base" if name == "nginx" else "rival"


def text(x: float, y: float, style: str, words: str) -> str:
    return f'<text class="{style}" x="{x}" y="{y}">{escape(words)}</text>\n'
