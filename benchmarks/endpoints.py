"""The client against a loopback server of fixed latency: throughput, memory, and what kills make it ask again.

    python benchmarks/endpoints.py              12,800 requests three times, 50,000 for memory, 50 kills; four minutes
    python benchmarks/endpoints.py --quick      fewer of everything: shows that it runs, measures little
    python benchmarks/endpoints.py --kills 200  so many kills
    python benchmarks/endpoints.py --json       the last line is one JSON object

- **throughput_share**: requests a second with 32 in flight and 50 ms a request, as a share of 32 / 0.05 s, median of
  the rounds; looking through the cache and the writing of every reply are in it, the import of `openai` is not.
  **cpu_ms_per_request** says what the client itself needs; from 1.56 ms on, one core cannot reach the ideal.
  **server_latency_ms** is what the server really took, by its own clock: what it is above 50 is no fault of the client.
- **rss_growth_mb**: memory after all requests are asked and all answers read, over that after the first 2,000.
- **repeated_calls_after_kills**: requests for an answer that was in the cache when the client was killed (SIGKILL, at a
  random moment). **answers_lost_in_kills**: answers that the server had sent and that were not yet in the cache; they
  are asked for again, and are all that is answered twice: `answered - unique` must equal them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from calling.client import opened, questions

from workbench.endpoints.cache import ResponseCache, cache_key

IN_FLIGHT = 32
LATENCY_S = 0.05
KILLED_LATENCY_S = 0.01
KILLED_IN_FLIGHT = 8
REQUESTS_A_LIFE = 400
"""New ones in every life, half a second's work: nobody is done before the kill."""
LONGEST_LIFE_S = 0.4


@contextmanager
def server(latency_s: float) -> Iterator[str]:
    """Address of a server in a process of its own."""
    command = [sys.executable, "-m", "calling.server", str(latency_s)]
    process = subprocess.Popen(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.kill()
        process.wait()


def start(url: str, directory: Path, count: int, in_flight: int) -> subprocess.Popen[str]:
    """A client that is about to ask."""
    command = [sys.executable, "-m", "calling.client", url, str(directory), str(count), str(in_flight)]
    process = subprocess.Popen(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "asking\n"
    return process


def finished(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What a client says at its end."""
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"the client failed with {process.returncode}")
    found: dict[str, Any] = json.loads(out)
    return found


def asked(count: int, latency_s: float) -> dict[str, Any]:
    """One client, a new server and an empty cache."""
    with server(latency_s) as url, tempfile.TemporaryDirectory() as directory:
        found = finished(start(url, Path(directory), count, IN_FLIGHT))
        found["latency_ms"] = said(url)["latency_ms"]
    assert found["replies"] == count, f"{found['replies']} of {count} were answered"
    return found


def said(url: str) -> dict[str, Any]:
    """What the server says of itself."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url.removesuffix("/v1") + "/counts") as response:
        found: dict[str, Any] = json.load(response)
    return found


def counts(url: str) -> tuple[Counter[str], Counter[str]]:
    """How often each question was asked and answered."""
    found = said(url)
    return Counter(found["asked"]), Counter(found["answered"])


def kept(url: str, directory: Path, count: int) -> set[str]:
    """Those of the first `count` questions whose answers are in the cache."""
    name = opened(url, directory, 1).name
    with ResponseCache(directory) as cache:
        asked_for = [(request.messages[0].content, cache_key(name, request)) for request in questions(count)]
        return {text for text, key in asked_for if cache.get(key) is not None}


def killed(kills: int, seed: int) -> dict[str, int]:
    """Kills a client `kills` times at random moments, lets the last one finish, and counts."""
    rng = random.Random(seed)
    repeated = lost = count = 0
    with server(KILLED_LATENCY_S) as url, tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for _ in range(kills):
            before, (asked_before, answered_before) = kept(url, directory, count), counts(url)
            count += REQUESTS_A_LIFE
            child = start(url, directory, count, KILLED_IN_FLIGHT)
            time.sleep(rng.uniform(0, LONGEST_LIFE_S))
            child.send_signal(signal.SIGKILL)
            assert child.wait() == -signal.SIGKILL, "all was answered before the kill"
            time.sleep(3 * KILLED_LATENCY_S)  # what is in flight is answered to nobody
            asked_now, answered_now = counts(url)
            repeated += _again(before, asked_before, asked_now)
            now = kept(url, directory, count)
            lost += sum(times for text, times in (answered_now - answered_before).items() if text not in now)
        before, (asked_before, _) = kept(url, directory, count), counts(url)
        assert finished(start(url, directory, count, KILLED_IN_FLIGHT))["replies"] == count
        asked_now, answered_now = counts(url)
        repeated += _again(before, asked_before, asked_now)
        assert len(answered_now) == count, "an answer is missing"
        assert answered_now.total() - count == lost, "more was asked again than the kills explain"
    return {
        "kills": kills,
        "unique_requests": count,
        "answers_kept_over_kills": len(before),
        "repeated_calls_after_kills": repeated,
        "answers_lost_in_kills": lost,
    }


def _again(kept_before: set[str], asked_before: Counter[str], asked_now: Counter[str]) -> int:
    return sum(asked_now[text] - asked_before[text] for text in kept_before)


def measure(requests: int, rounds: int, memory_requests: int, kills: int) -> dict[str, Any]:
    """All figures."""
    ideal = IN_FLIGHT / LATENCY_S
    runs = []
    for number in range(rounds):
        runs.append(asked(requests, LATENCY_S))
        rate = requests / runs[-1]["seconds"]
        print(f"round {number + 1}  {rate:7.1f} requests/s of {ideal:.0f}", flush=True)
    shares = [requests / run["seconds"] / ideal for run in runs]
    memory = asked(memory_requests, 0.0)
    print(f"memory   {memory['rss_growth_mb']:7.1f} MB over {memory_requests:,} requests", flush=True)
    after_kills = killed(kills, seed=0) if kills else {}
    return {
        "metrics": {
            "throughput_share": statistics.median(shares),
            "throughput_share_lowest": min(shares),
            "throughput_share_highest": max(shares),
            "cpu_ms_per_request": statistics.median(1000 * run["cpu_s"] / requests for run in runs),
            "server_latency_ms": statistics.median(run["latency_ms"] for run in runs),
            "rss_growth_mb": memory["rss_growth_mb"],
            **after_kills,
        },
        "conditions": {
            "in_flight": IN_FLIGHT,
            "latency_s": LATENCY_S,
            "requests": requests,
            "rounds": rounds,
            "memory_requests": memory_requests,
            "cores": os.cpu_count(),
            "load": os.getloadavg()[0],
            "python": platform.python_version(),
            "versions": {name: metadata.version(name) for name in ("openai", "aiohttp", "httpx2")},
        },
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer requests, 3 kills")
    parser.add_argument("--kills", type=int, help="how often the client is killed; 0: not at all")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    if options.quick:
        result = measure(640, 1, 2000, 3 if options.kills is None else options.kills)
    else:
        result = measure(12_800, 3, 50_000, 50 if options.kills is None else options.kills)
    for name, value in result["metrics"].items():
        print(f"  {name:<28} {value:10.4g}")
    if options.json:
        print(json.dumps({"benchmark": "endpoints", **result}))


if __name__ == "__main__":
    main()
