"""Makes the report of a run.

    report.py DIR TO         of what run.sh left in DIR: TO.json, TO.md and TO.svg; prints the table
    report.py --readme FILE  prints the README's chart and table, of a run that was kept (its .json)
    report.py --sound FILE   fails if requests to a gateway did where none may

The JSON has all there is: every turn, and of each proxy in each scenario the median of the rounds.
A ratio is taken within a round; its median, lowest and highest are given.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

import chart

BASE = "nginx"
OURS = "gateway"
FIGURES = ("requests_per_second", "p50_ms", "p99_ms", "p999_ms", "cpu_us", "user_us", "system_us", "rss_mib")
RATIOS = ("cpu_us", "requests_per_second", "p99_ms")


def main() -> None:
    match sys.argv[1:]:
        case ["--readme", file]:
            print(readme(json.loads(Path(file).read_text(encoding="utf-8")), Path(file)))
        case ["--sound", file]:
            sys.exit(0 if sound(json.loads(Path(file).read_text(encoding="utf-8"))) else 1)
        case [directory, to]:
            write(collect(Path(directory)), to)
        case _:
            sys.exit(__doc__)


def write(run: dict, to: str) -> None:
    text = table(run)
    Path(f"{to}.json").write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    Path(f"{to}.svg").write_text(chart.of(run), encoding="utf-8")
    Path(f"{to}.md").write_text(f"{text}\n![CPU per request beside nginx]({Path(to).name}.svg)\n", encoding="utf-8")
    print(text)


# ---- What was measured


def collect(directory: Path) -> dict:
    facts = json.loads((directory / "facts").read_text(encoding="utf-8"))
    scenarios, turns = lines(directory / "scenarios"), lines(directory / "turns")
    for name in ("rounds", "seconds", "workers"):
        facts[name] = int(facts[name])
    for name in ("proxies", "skipped"):
        facts[name] = [line for line in facts[name].split("\n") if line]
    order = [line.split(" ")[0] for line in facts["proxies"]]
    for scenario in scenarios:
        own = [turn for turn in turns if turn["scenario"] == scenario["name"]]
        for name in ("goal_cpu", "goal_p99", "goal_rss"):
            scenario[name] = float(scenario[name]) if scenario[name] else None
        for name in ("connections", "routes"):
            scenario[name] = int(scenario[name])
        scenario["may_fail"] = scenario["may_fail"] == "yes"
        scenario["proxies"] = [summary(name, own) for name in order if rounds_of(name, own)]
        scenario["turns"] = own
    return facts | {"scenarios": scenarios}


def lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def rounds_of(name: str, turns: list[dict]) -> dict[int, dict]:
    return {turn["round"]: turn for turn in turns if turn["proxy"] == name}


def summary(name: str, turns: list[dict]) -> dict:
    own, base = rounds_of(name, turns), rounds_of(BASE, turns)
    result = {"name": name} | {figure: median(turn[figure] for turn in own.values()) for figure in FIGURES}
    result["requests"] = sum(turn["requests"] for turn in own.values())
    result["errors"] = sum(sum(turn["errors"].values()) for turn in own.values())
    result["to_nginx"] = {figure: ratio(own, base, figure) for figure in RATIOS}
    return result


def ratio(own: dict[int, dict], base: dict[int, dict], figure: str) -> dict | None:
    each = sorted(turn[figure] / base[at][figure] for at, turn in own.items() if at in base and base[at][figure])
    return {"median": median(each), "lowest": each[0], "highest": each[-1]} if each else None


def sound(run: dict) -> bool:
    wrong = [
        f"{scenario['title']}: {proxy['errors']} requests to {proxy['name']} failed"
        for scenario in run["scenarios"]
        if not scenario["may_fail"]
        for proxy in scenario["proxies"]
        if proxy["name"].startswith(OURS) and proxy["errors"]
    ]
    print("".join(f"error: {line}\n" for line in wrong), end="", file=sys.stderr)
    return not wrong


# ---- The table

HEAD = """| scenario | proxy | requests/s | p50 ms | p99 ms | p99.9 ms | CPU µs/request | user | system | RSS MiB | errors | CPU ÷ nginx | requests/s ÷ | p99 ÷ |
|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
"""


def table(run: dict) -> str:
    rows = [row(scenario, proxy, at == 0) for scenario in run["scenarios"] for at, proxy in enumerate(scenario["proxies"])]
    return preface(run) + HEAD + "".join(rows) + goals(run) + spread(run)


def preface(run: dict) -> str:
    proxies = "".join(f"- {line}\n" for line in run["proxies"])
    at_once = ", ".join(dict.fromkeys(f"{scenario['connections']:,}" for scenario in run["scenarios"]))
    skipped = "".join(f"- not measured: {line}\n" for line in run["skipped"])
    return (
        f"# The gateway beside other proxies, {run['date']}\n\n{run['hardware']}.\n"
        f"Proxies on core {run['proxy_cores']} with {run['workers']} worker(s), client and origin on core {run['load_cores']}; "
        f"{run['rounds']} round(s) of {run['seconds']} s,\nin turns, {at_once} requests at once. Medians of the rounds; a ratio is to "
        f"nginx in the same round, lowest to highest in brackets.\n\n{proxies}{skipped}\n"
    )


def row(scenario: dict, proxy: dict, first: bool) -> str:
    figures = "{requests_per_second:,.0f} | {p50_ms:.2f} | {p99_ms:.2f} | {p999_ms:.2f} | {cpu_us:.1f} | {user_us:.1f} | {system_us:.1f} | {rss_mib:,.0f} | {errors}"
    ratios = [proxy["to_nginx"][figure] for figure in RATIOS]
    cpu = f"**{ratios[0]['median']:.2f}**{span(ratios[0])}" if ratios[0] else ""
    rest = " | ".join(f"{each['median']:.2f}" if each else "" for each in ratios[1:])
    return f"| {scenario['title'] if first else ''} | {proxy['name']} | {figures.format(**proxy)} | {cpu} | {rest} |\n"


def span(each: dict) -> str:
    return f" ({each['lowest']:.2f}–{each['highest']:.2f})" if each["lowest"] != each["highest"] else ""


def goals(run: dict) -> str:
    """What the express lane is to reach, and whether it did."""
    said = []
    for scenario in run["scenarios"]:
        for proxy in scenario["proxies"]:
            if proxy["name"] != OURS:
                continue
            for what, figure, wanted in (("CPU", "cpu_us", "goal_cpu"), ("p99", "p99_ms", "goal_p99")):
                if scenario[wanted] and proxy["to_nginx"][figure]:
                    said.append(goal(scenario, f"{what} ÷ nginx", proxy["to_nginx"][figure]["median"], scenario[wanted], ".2f"))
            if scenario["goal_rss"]:
                said.append(goal(scenario, "RSS MiB", proxy["rss_mib"], scenario["goal_rss"], ".0f"))
    return f"\n| goal of `{OURS}` | | measured | goal | |\n|---|---|--:|--:|---|\n{''.join(said)}" if said else ""


def goal(scenario: dict, what: str, measured: float, wanted: float, style: str) -> str:
    met = "met" if measured <= wanted else "missed"
    return f"| {scenario['title']} | {what} | {measured:{style}} | {wanted:{style}} | {met} |\n"


def spread(run: dict) -> str:
    """With several workers: the busiest of them over the mean."""
    rows = []
    for scenario in run["scenarios"]:
        for name in dict.fromkeys(turn["proxy"] for turn in scenario["turns"] if "workers" in turn):
            shares = [turn["workers"] for turn in scenario["turns"] if turn["proxy"] == name]
            worst = [max(share[f"{what}_skew"] for share in shares) for what in ("connections", "requests")]
            middle = [median(share[f"{what}_skew"] for share in shares) for what in ("connections", "requests")]
            rows.append(f"| {scenario['title']} | {name} | {middle[0]:.2f} | {worst[0]:.2f} | {middle[1]:.2f} | {worst[1]:.2f} |\n")
    head = "\n| busiest worker ÷ mean | proxy | connections | worst round | requests | worst round |\n|---|---|--:|--:|--:|--:|\n"
    return head + "".join(rows) if rows else ""


# ---- For the README


def readme(run: dict, file: Path) -> str:
    """CPU per request over nginx's: a row for each scenario, a column for each proxy."""
    names = list(dict.fromkeys(proxy["name"] for scenario in run["scenarios"] for proxy in scenario["proxies"]))
    others = [name for name in names if name != BASE]
    head = f"| CPU per request ÷ nginx | nginx µs | {' | '.join(others)} |\n|---|--:|{'--:|' * len(others)}\n"
    rows = "".join(readme_row(scenario, others) for scenario in run["scenarios"])
    kept = os.path.relpath(file.with_suffix(""), Path(__file__).resolve().parent.parent.parent)
    return (
        f"![CPU per request beside nginx]({kept}.svg)\n\n{head}{rows}\n"
        f"{run['gateway']}, {run['date']}, {run['hardware'].split(', load')[0]}; [the whole table]({kept}.md)."
    )


def readme_row(scenario: dict, others: list[str]) -> str:
    by_name = {proxy["name"]: proxy for proxy in scenario["proxies"]}
    base = f"{by_name[BASE]['cpu_us']:.1f}" if BASE in by_name else ""
    cell: Callable[[dict], str] = lambda proxy: f"{proxy['median']:.2f}" if proxy else ""
    cells = [cell(by_name[name]["to_nginx"]["cpu_us"]) if name in by_name else "" for name in others]
    return f"| {scenario['title']} | {base} | {' | '.join(cells)} |\n"


if __name__ == "__main__":
    main()
