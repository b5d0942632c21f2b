"""Runs to be judged, and the files that somebody who judged them would send."""

import json

import rawgan
from rawgan.rating import page

QUICK = {"steps": 2, "batch_size": 8, "noise": 4, "hidden": 4, "device": "cpu", "progress": False}


def quick(recipe="mlp", **more):
    """A recipe trained for a moment."""
    return rawgan.train(recipe, **(QUICK | more))


def document(run, wrong_at=(), n=5, seed=0, judged=None, person="Ada", session="0" * 32):
    """What the page of a run gives when its pictures are judged rightly but at some places."""
    real = page.is_real(n, seed)[:judged]
    name = {True: "real", False: "generated"}
    return {
        "format": page.FORMAT,
        "page": page.about(run, n, seed),
        "session": session,
        "person": person,
        "began": "2026-01-01T12:00:00.000Z",
        "verdicts": [
            {
                "picture": place,
                "is": name[bool(is_real)],
                "said": name[bool(is_real) != (place in wrong_at)],
                "seconds": 1 + place / 4,
            }
            for place, is_real in enumerate(real)
        ],
    }


def written(folder, found, name="verdicts.json"):
    """The path of a document as a file."""
    path = folder / name
    path.write_text(json.dumps(found), "utf-8")
    return path
