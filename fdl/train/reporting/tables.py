"""The sections of a report that are tables and pictures."""

import json
import math
from operator import itemgetter

from fdl.train.read_log import Log
from fdl.train.reporting.charts import words
from fdl.train.reporting.page import Markup, element, grid, join, picture, section, table

NBSP = "\N{NO-BREAK SPACE}"


def overview(logs: list[Log]) -> Markup:
    """How far each run came, and how it ended."""
    rows = [
        [
            log.name,
            _end(log),
            words(last.get("epoch", 0)),
            words(last.get("step", 0)),
            _duration(sum(record.get("seconds", 0) for record in log.records)),
            _starts(log),
        ]
        for log in logs
        for last in [log.records[-1] if log.records else {}]
    ]
    return section("Runs", table(["run", "end", "epochs", "steps", "time", "started"], rows))


def _end(log: Log) -> str:
    if log.run["stopped"] is not None:
        return f"stopped: {log.run['stopped']}"
    return "ended after all steps" if log.run["ended"] else "no end is logged: it goes on, or it was killed"


def _starts(log: Log) -> str:
    times = []
    for process in log.run["processes"]:
        place = f", from step {process['step']}" if process["step"] else ""
        times.append(f"{process['started'][:16].replace('T', ' ')} UTC{place}")
    return "; ".join(times)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f}{NBSP}s"
    minutes = round(seconds / 60)
    return f"{minutes // 60}:{minutes % 60:02}{NBSP}h" if minutes >= 60 else f"{seconds / 60:.1f}{NBSP}min"


def values(logs: list[Log]) -> Markup | None:
    """The last, lowest and highest value of each metric."""
    rows = []
    for metric in dict.fromkeys(metric for log in logs for metric in log.metrics):
        for part in ("", "validation_"):
            for log in logs:
                if points := log.points(part + metric):
                    finite = [point for point in points if math.isfinite(point[1])]
                    name = f"{part.rstrip('_')} {metric}".strip()
                    extremes = (
                        [_at(extreme(finite, key=itemgetter(1))) for extreme in (min, max)] if finite else ["", ""]
                    )
                    rows.append([name, *([log.name] if len(logs) > 1 else []), words(points[-1][1]), *extremes])
    head = ["metric", *(["run"] if len(logs) > 1 else []), "last", "lowest (at step)", "highest (at step)"]
    return section("Values", table(head, rows)) if rows else None


def _at(point: tuple[int, float]) -> str:
    return f"{words(point[1])} ({point[0]})"


def images(logs: list[Log]) -> Markup | None:
    """Pictures, a section for each name."""
    sections = []
    for name in dict.fromkeys(name for log in logs for name in log.images):
        children: list[Markup] = []
        for log in logs:
            if name in log.images:
                children += [element("h3", log.name)] if len(logs) > 1 else []
                children.append(grid((_image(name, i, *one) for i, one in enumerate(log.images[name])), "grid images"))
        sections.append(section(name[:1].upper() + name[1:], *children))
    return join(*sections) if sections else None


def _image(name: str, i: int, png: bytes, caption: str) -> Markup:
    text = picture(png, caption or f"{name}, number {i + 1}")
    return element("figure", text, element("figcaption", caption) if caption else None)


def facts(logs: list[Log]) -> Markup | None:
    """Configuration, versions and device, a column for each run; rows in which runs differ say so."""
    sections = []
    for title, of in (("Configuration", _config), ("Versions", _versions)):
        of_logs = [of(log) for log in logs]
        rows = []
        for name in dict.fromkeys(name for one in of_logs for name in one):
            values = [one.get(name, "") for one in of_logs]
            differs = len(set(values)) > 1
            rows.append([f"{name} (differs)" if differs else name, *values])
        if rows:
            sections.append(section(title, table(["", *(log.name for log in logs)], rows)))
    return join(*sections) if sections else None


def _config(log: Log) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        for name, value in log.run["config"].items()
    }


def _versions(log: Log) -> dict[str, str]:
    return {**log.run["versions"], "device": log.run["device"]}
