"""The campaign of the cluster on real Ray: a head without CPUs and two nodes on this machine, each a raylet of its own.

    python tests/campaigns/cluster.py --ray --nodes 20 --supervisors 10 --out FILE --scratch FOLDER

A node is killed with all its processes at a random moment of a run, and another joins in its place; or the supervisor is, and its
command given again. Survived: the board and ledger of a local run but for times, nothing in it twice, no worker, agent or temporary
folder left on any node, no traceback. Lost: anything else.
"""

from __future__ import annotations

import os
import random
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from campaigns import campaign, kill
from campaigns.commands import Server
from campaigns.kill_checks import differing, told
from execute.kit import steady

STORE = 80 * 1024**2
NODES = 2
GONE_SECONDS = 60.0
"""Given to what ran on a dead node, or for a dead supervisor, to be gone: Ray has to notice first."""
AGENT = "ray::Host"


class Nodes:
    """A Ray cluster whose nodes come and go; what they start keeps its temporary files in `scratch`."""

    def __init__(self, scratch: Path) -> None:
        from ray.cluster_utils import Cluster

        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        os.environ["TMPDIR"] = str(scratch)
        # Ray lets its workers run at niceness 15: on a busy machine their imports would take minutes
        os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112
        self.scratch, self._made = scratch, 0
        head = {"num_cpus": 0, "node_name": "head", "object_store_memory": STORE, "include_dashboard": False}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.address, self._alive = str(self._cluster.address), list[Any]()
        while len(self._alive) < NODES:
            self.join()

    def join(self) -> None:
        """Add a node."""
        self._made += 1
        self._alive.append(self._cluster.add_node(num_cpus=1, node_name=f"node-{self._made}", object_store_memory=STORE))

    def kill(self, draw: random.Random) -> None:
        """Kill a node with all its processes, as a machine that loses its power."""
        self._cluster.remove_node(self._alive.pop(draw.randrange(len(self._alive))), allow_graceful=False)

    def left(self) -> str:
        """Wait until the agents of a round, their workers and their files are gone; name those that are not."""
        until = time.monotonic() + GONE_SECONDS
        while True:
            alive = [p.pid for p in psutil.process_iter() if self._serves(p)]
            files = sorted(path.name for path in self.scratch.glob("bench-*"))
            if not (alive or files):
                return ""
            if time.monotonic() > until:
                for name in files:
                    shutil.rmtree(self.scratch / name, ignore_errors=True)
                return f"left on a node: processes {alive}, files {files}"
            time.sleep(0.2)

    def _serves(self, process: psutil.Process) -> bool:
        try:
            words = process.cmdline()
            # a worker's home lies in its agent's folder; an agent has written its title over its environment
            homed = process.environ().get("HOME", "").startswith(f"{self.scratch}{os.sep}")
        except psutil.Error:
            return False
        return homed or (bool(words) and words[0].startswith(AGENT))

    def close(self) -> None:
        """End all nodes."""
        self._cluster.shutdown()


def rounds(scratch: Path, server: Server, nodes: Nodes, kinds: Sequence[str]) -> campaign.Round:
    """Return the rounds, of these kinds in turn; the local run of each task is made once."""
    scratch.mkdir(exist_ok=True)
    steady(scratch)
    coming, usual = iter(kinds), [30.0]

    def play(draw: random.Random) -> dict[str, Any]:
        task, what = draw.choice(list(kill.CASES)), next(coming)
        plain = kill.calm(scratch, task, server)
        there = ("--executor", "ray", "--address", nodes.address)
        place = kill.Place(scratch / f"{draw.getrandbits(48):012x}", scratch, task, 1, server, usual[0], there)
        moment, began = kill.drawn(draw), time.time()
        words, hit = (without_node if what == "node" else without_supervisor)(place, nodes, moment, draw)
        usual[0] = time.time() - began if what == "node" else usual[0]
        words = words or nodes.left() or differing(plain, place.folder / "run")
        if not words:
            shutil.rmtree(place.folder)
        end = "lost" if words else "survived"
        return {"kind": f"{task}, {what}", "moment": str(moment), "hit": hit, "end": end, "words": words, "folder": str(place.folder)}

    return play


def without_node(place: kill.Place, nodes: Nodes, moment: kill.Moment, draw: random.Random) -> tuple[str, str]:
    """Kill a node at a moment of a run; another joins. Returns what is wrong, and what was hit."""
    began, command = time.time(), place.start(alone=False)
    kill.wait_for(moment, place, command)
    hit = "after the run" if command.code() is not None else kill.phase(place.folder / "run", began)
    nodes.kill(draw)
    nodes.join()
    return told(command.finish(kill.PATIENCE), killed=False), hit


def without_supervisor(place: kill.Place, _: Nodes, moment: kill.Moment, draw: random.Random) -> tuple[str, str]:
    """Kill the supervisor at a moment, and give its command again."""
    began, command, number = time.time(), place.start(alone=False), draw.choice(kill.SIGNALS)
    kill.wait_for(moment, place, command)
    hit = kill.phase(place.folder / "run", began)
    hit = f"{number.name} in {hit}" if command.send(number) else "after the run"
    words = told(command.finish(kill.PATIENCE), killed=True)
    return words or told(place.start(alone=False).finish(kill.PATIENCE), killed=False), hit


def by_hand(given: Any) -> None:
    """Run the campaign and print its table."""
    kinds = ["node"] * given.nodes + ["supervisor"] * given.supervisors
    random.Random(given.seed).shuffle(kinds)
    done, scratch = len(campaign.kept(given.out)), given.scratch.resolve()
    with Server() as server:
        nodes = Nodes(scratch / "nodes")
        try:
            found = campaign.run(rounds(scratch, server, nodes, kinds[done:]), len(kinds), seed=given.seed, out=given.out)
        finally:
            nodes.close()
    campaign.tell(found)
    for line in found:
        sys.stdout.write(f"{line['kind']}: {line['hit']} ({line['moment']})\n")
