"""A recording as the parts of a picture: phases of a training step, groups of operations in them, and events.

A *card* is a phase of one player's turn, as far as it ran without another between. In it, operations of one
layer that ran one after another are a *group*, which the page draws as one box and opens on demand. Where a
box stands is the page's business.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

from rawgan.inspect.ledger import norm
from rawgan.inspect.nodes import Backward, Digest, RecordedNode
from rawgan.inspect.show import host

LOOSE = (
    4  # up to so many operations outside of layers, from one line of the user's code, are boxes of their own
)


class Structure:
    """Which card and group each node of a tape is in; `cards` as the page takes them."""

    def __init__(self, tape: Any):
        self.tape = tape
        self.turn_of = _turns(tape)
        self.group_of: dict[int, int] = {}
        self.cards: list[dict[str, Any]] = []
        self._groups = 0
        homes = self._homes()
        operations = [node for node in tape.nodes if not node.leaf]
        runs = [
            (*key, list(run)) for key, run in groupby(operations, lambda n: (self.turn_of[n.number], n.phase))
        ]
        for number, (turn, phase, nodes) in enumerate(runs):
            again = any((turn, phase) == later[:2] for later in runs[number + 1 :])
            title = phase.replace(": loss", ": forward") if again else phase  # what comes before D judges
            card = {"title": title, "kind": kind(title), "turn": turn, "groups": []}
            self.cards.append(card)
            for group in _groups(nodes):
                self._add(card, group, [leaf for node in group for leaf in homes.get(node.number, ())])
        for number, turn in enumerate(tape.turns):
            card = next((c for c in self.cards if (c["turn"], c["title"]) == (number, turn.phase)), None)
            if card is None:
                card = {"title": turn.phase, "kind": kind(turn.phase), "turn": number, "groups": []}
                self.cards.append(card)
            card["groups"].append({"id": self._groups, "update": number, "nodes": [], "label": turn.player})
            self._groups += 1

    def _homes(self) -> dict[int, list[RecordedNode]]:
        """Operation -> the leaves that it is the first to take."""
        homes: dict[int, list[RecordedNode]] = {}
        seen: set[int] = set()
        for node in self.tape.nodes:
            for x in node.inputs:
                if isinstance(x, RecordedNode) and x.leaf and x.number not in seen:
                    seen.add(x.number)
                    homes.setdefault(node.number, []).append(x)
        return homes

    def _add(self, card: dict[str, Any], nodes: list[RecordedNode], leaves: list[RecordedNode]) -> None:
        """A group; what goes into it as data, not as its layer's parameter, is a box of its own before it."""
        own = [leaf for leaf in leaves if leaf.op == "parameter" and nodes[0].layer]
        for leaf in leaves:
            if leaf not in own:
                self._box(card, [leaf], _leaf_label(leaf, nodes[0]), "")
        first = nodes[0]
        if first.layer:
            path, _, named = first.layer.partition(" ")
            self._box(card, [*own, *nodes], named.strip("()") or path, path if named else "")
        elif len(nodes) == 1:
            self._box(card, nodes, first.op, "")
        else:
            within = first.within is not None
            label = "its gradient" if within else f"{len(nodes)} operations"
            self._box(card, nodes, label, first.source.rpartition("/")[2])

    def _box(self, card: dict[str, Any], nodes: list[RecordedNode], label: str, path: str) -> None:
        for node in nodes:
            self.group_of[node.number] = self._groups
        made = {"id": self._groups, "nodes": [n.number for n in nodes], "label": label, "path": path}
        card["groups"].append(made)
        self._groups += 1

    def events(self) -> list[list[Any]]:
        """What happened in order: [kind, node or turn, pass]; kind: f(orward), b(ackward), p(ass), u."""
        out: list[list[Any]] = []
        turns = 0
        for event in self.tape.events():
            if event.kind == "forward":
                out.append(["f", event.node.number, None])
            elif event.kind == "backward":
                out.append(["b", event.node.number, event.backward.number])
            elif event.kind == "pass":
                out.append(["p", event.node.number, event.backward.number])
            elif event.kind == "update":
                out.append(["u", turns, event.backward.number])
                turns += 1
        return out


def kind(phase: str) -> str:
    """What a phase deals with: "real", "fake", "loss", "update", or "" where it is not a step's."""
    if ": " in phase:
        return phase.rpartition(": ")[2]
    if "real" in phase:
        return "real"
    return "fake" if "fake" in phase or "G " in phase or "G's" in phase else ""


def flows(tape: Any) -> list[list[Any]]:
    """Every share of a gradient: [pass, consumer or None, its input, node, norm, part of the whole].

    The part is ⟨share, gradient⟩ / ‖gradient‖²: the parts of all shares of a gradient add up to 1.
    """
    out: list[list[Any]] = []
    for node in tape.nodes:
        for received in node.received:
            whole = received.whole[0].value if received.whole else None
            if whole is None and received is node.received[-1]:
                whole = node.grad
            known = whole is not None and not isinstance(whole, Digest)
            for share in received.shares:
                value = share.value
                lost = isinstance(value, Digest)
                size = value.norm if lost else norm(host(value))
                part = None
                if known and not lost:
                    square = norm(host(whole)) ** 2
                    flat = host(whole).reshape(-1).astype("f8")
                    part = float(flat @ host(value).reshape(-1).astype("f8") / square) if square else None
                consumer = share.consumer.number if share.consumer else None
                out.append([received.backward.number, consumer, share.position, node.number, size, part])
    return out


def passes(tape: Any) -> list[dict[str, Any]]:
    """The backward passes as the page takes them."""
    return [_pass(p) for p in tape.passes]


def _pass(backward: Backward) -> dict[str, Any]:
    seed = backward.seed.value
    return {
        "root": backward.root.number,
        "phase": backward.phase,
        "again": backward.create_graph,
        "seed": float(host(seed)) if not isinstance(seed, Digest) and seed.shape == () else None,
    }


def _turns(tape: Any) -> list[int]:
    """For each node the number of the turn that it ran in; leaves belong to where they are first taken."""
    found: dict[int, int] = {}
    turn = 0
    for event in tape.events():
        if event.kind == "update":
            turn += 1
        elif event.kind == "forward":
            found[event.node.number] = turn
    last = max(found.values(), default=0)
    for node in tape.nodes:
        for x in node.inputs:
            if isinstance(x, RecordedNode) and x.leaf:
                found.setdefault(x.number, found.get(node.number, last))
    return [found.get(number, last) for number in range(len(tape.nodes))]


def _groups(nodes: list[RecordedNode]) -> list[list[RecordedNode]]:
    """Runs of one layer; of operations outside of layers, runs from one line, if they are long."""
    out: list[list[RecordedNode]] = []
    for (layer, _, within), run in groupby(nodes, lambda n: (n.layer, "" if n.layer else n.source, n.within)):
        found = list(run)
        keep = layer or len(found) > LOOSE or within is not None
        out += [found] if keep else [[node] for node in found]
    return out


def _leaf_label(leaf: RecordedNode, user: RecordedNode) -> str:
    if leaf.op == "parameter":
        return leaf.name or "parameter"
    if leaf.phase == "G makes examples" and user.inputs and user.inputs[0] is leaf:
        return "noise z"
    return "real data x" if leaf.phase == "D on real" and user.inputs[0] is leaf else leaf.name or "input"
