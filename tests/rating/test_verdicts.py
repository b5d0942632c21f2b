"""Files of verdicts: counted, pooled, and refused where they are of something else or tampered with."""

import json
import re
import warnings

import numpy as np
import pytest
from rated_runs import QUICK, document, quick, written

import rawgan
from rawgan import ConfigError, DataError, cli, rating
from rawgan.rating import page, verdicts


@pytest.fixture(scope="module")
def run():
    return quick()


def test_mistakes_are_counted_by_kind(run, tmp_path):
    real = page.is_real(5, seed=3)
    wrong = [*np.flatnonzero(real)[:1], *np.flatnonzero(~real)[:3]]
    found = rating.read_verdicts(run, [written(tmp_path, document(run, wrong, seed=3))])
    assert found.count() == (4, 10)
    assert found.count(verdicts.FALSE_REAL) == (3, 5)
    assert found.count(verdicts.FALSE_FAKE) == (1, 5)
    assert found.error_rate == 0.4
    assert found.interval == rating.interval(4, 10)
    assert found.p_value == rating.p_value(4, 10)
    assert (found.recipe, found.data, found.steps) == ("mlp", "digits", 2)
    (person,) = found.people
    assert person.name == "Ada"
    assert person.seconds.tolist() == [1 + i / 4 for i in range(10)]


def test_people_and_pages_are_pooled(run, tmp_path):
    files = [
        written(tmp_path, document(run, {0}, person="Ada"), "a.json"),
        written(tmp_path, document(run, {1, 2}, seed=2**64 - 1, n=3, person="", session="5" * 32), "b.json"),
        written(tmp_path, document(run, (), judged=4, person="[bold]\u202eB", session="6" * 32), "c.json"),
    ]
    found = rating.read_verdicts(run, files)
    assert found.count() == (3, 20)
    assert [person.count() for person in found.people] == [(1, 10), (2, 6), (0, 4)]
    assert [person.name for person in found.people] == ["Ada", "5" * 8, "[bold]B"]
    text = str(found)
    for words in ("mlp on digits after 2 steps", r"both +3 +20 +15\.0%", r"\[bold\]B", "compare their lines"):
        assert re.search(words, text), words
    known = json.loads(found.as_json())
    assert known["all"]["wrong"] == 3
    assert known["all"]["interval"] == list(rating.interval(3, 20))
    assert [person["error_rate"] for person in known["people"]] == [1 / 10, 2 / 6, 0]


@pytest.mark.parametrize(
    ("wrong", "of", "words"),
    [
        (45, 100, "does not differ from guessing (50%)"),
        (45, 100, "any error rate from 35.0% to 55.3%"),
        (38, 100, "can be told from real ones"),
        (38, 100, "guessing (50%) would come out so far from half in 2.1% of cases"),
        (5, 100, "in less than 1 of 1,000 cases"),
        (65, 100, "taken for the real ones more often than by guessing"),
    ],
)
def test_what_it_means_in_plain_words(run, tmp_path, wrong, of, words):
    files = [written(tmp_path, document(run, range(wrong), n=of // 2))]
    assert words in rating.read_verdicts(run, files).says()


def test_one_answer_every_time_is_pointed_out(run, tmp_path):
    always_real = np.flatnonzero(~page.is_real(20, 0))
    found = rating.read_verdicts(run, [written(tmp_path, document(run, always_real, n=20))])
    assert found.error_rate == 0.5
    assert "Ada said 'real' every time, which tells nothing apart" in found.remarks()


def test_only_one_kind_was_seen(run, tmp_path):
    found = rating.read_verdicts(run, [written(tmp_path, document(run, judged=1))])
    kinds = {kind: found.count(kind).of for kind in (verdicts.FALSE_REAL, verdicts.FALSE_FAKE)}
    assert sorted(kinds.values()) == [0, 1]
    assert "0" in str(found)
    assert None in [json.loads(found.as_json())[k]["interval"] for k in
                    ("generated_taken_for_real", "real_called_generated")]  # fmt: skip


def test_verdicts_outlive_further_training(tmp_path):
    first = quick(out=tmp_path / "run")
    early = written(tmp_path, document(first, {0}))
    later = rawgan.train(out=tmp_path / "run", resume=True, steps=4, device="cpu", progress=False)
    found = rating.read_verdicts(tmp_path / "run", [early], device="cpu")
    assert (found.steps, later.steps) == (2, 4)
    now = written(tmp_path, document(later, {0}, session="1" * 32), "now.json")
    with pytest.raises(
        DataError, match=r"now\.json: is of the generator after 4 steps, .*verdicts\.json of .* 2"
    ):
        rating.read_verdicts(later, [early, now])


def test_what_is_of_something_else_is_refused(run, tmp_path):
    other = written(tmp_path, document(quick(seed=1)))
    with pytest.raises(DataError, match=r"verdicts\.json: is of another run \('mlp' after 2 steps\)"):
        rating.read_verdicts(run, [other])
    found = document(run)
    found["page"]["weights"] = "0" * 16
    with pytest.raises(DataError, match="of other weights than this run has after 2 steps"):
        rating.read_verdicts(run, [written(tmp_path, found)])
    once = written(tmp_path, document(run))
    with pytest.raises(DataError, match=r"same person's verdicts as .*verdicts\.json; give them once"):
        rating.read_verdicts(run, [once, once])
    with pytest.raises(ConfigError, match="one file of verdicts or more"):
        rating.read_verdicts(run, [])
    with pytest.raises(ConfigError, match=r"'mixture' makes points.*rawgan evaluate"):
        rating.read_verdicts(quick("mixture"), [once])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("page", 3),
        ("page.n", 10**9),
        ("page.n", 0),
        ("page.n", True),
        ("page.seed", 0),
        ("page.seed", "99999999999999999999"),
        ("page.seed", "٣"),
        ("page.run", ["x"]),
        ("page.steps", -1),
        ("page.recipe", None),
        ("person", 7),
        ("person", "x" * 1000),
        ("session", "x"),
        ("verdicts", {}),
        ("verdicts", []),
        ("verdicts", [{}] * 11),
        ("verdicts.1", None),
        ("verdicts.1.picture", 0),
        ("verdicts.1.picture", True),
        ("verdicts.1.said", "maybe"),
        ("verdicts.1.said", []),
        ("verdicts.1.is", 1),
        ("verdicts.1.seconds", -1),
        ("verdicts.1.seconds", float("nan")),
        ("verdicts.1.seconds", float("inf")),
        ("verdicts.1.seconds", 10**400),
        ("verdicts.1.seconds", "1"),
    ],
)
def test_a_damaged_file_is_refused_by_the_place(run, tmp_path, path, value):
    found = document(run)
    *way, last = [int(part) if part.isdecimal() else part for part in path.split(".")]
    inner = found
    for part in way:
        inner = inner[part]
    inner[last] = value
    where = re.escape(re.sub(r"verdicts\.(\d).*", r"verdicts[\1]", path))
    with pytest.raises(
        DataError, match=rf"verdicts\.json: {where}\S* is not what a rating page writes there"
    ):
        rating.read_verdicts(run, [written(tmp_path, found)])


def test_the_truth_is_the_seeds_and_not_the_files(run, tmp_path):
    found = document(run)
    for verdict in found["verdicts"][2:4]:
        verdict["is"] = {"real": "generated", "generated": "real"}[verdict["is"]]
    with pytest.raises(DataError, match=r"says that picture 2 is .*, and on that page it is not"):
        rating.read_verdicts(run, [written(tmp_path, found)])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b"\xff\xfe{}", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is not a file of verdicts"),
        (b'{"format": "rawgan verdicts 9"}', "is not a file of verdicts"),
        (b" " * (verdicts.LARGEST + 1), "is larger than any file of verdicts"),
    ],
)
def test_other_files_are_refused(run, tmp_path, content, message):
    path = tmp_path / "odd.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"odd\.json: {message}"):
        rating.read_verdicts(run, [path])
    for missing in (tmp_path / "none.json", tmp_path):
        with pytest.raises(DataError, match="cannot be read"):
            rating.read_verdicts(run, [missing])


@pytest.fixture
def rawgan_says(capfd, tmp_path, monkeypatch):
    """A function that runs a command in an empty folder and returns its exit status, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # the command line replaces it

    def call(*arguments):
        with pytest.raises(SystemExit) as end:
            cli.main([str(argument) for argument in arguments])
        return end.value.code, *capfd.readouterr()

    return call


def test_the_command(rawgan_says, tmp_path):
    run = rawgan.train("mlp", out=tmp_path / "run", **QUICK)
    status, out, err = rawgan_says("rate", "run", "-n", 3, "--device", "cpu")
    assert (status, err) == (0, "")
    assert out.endswith("was trained on: digits has no test part\nrate.html\n")
    assert rawgan_says("rate", "run", "--out", "b.html", "--device=cpu", "--quiet") == (0, "b.html\n", "")
    files = [
        written(tmp_path, document(run, {0}), "a.json"),
        written(tmp_path, document(run, session="1" * 32), "b.json"),
    ]
    status, out, err = rawgan_says("rate", "run", "--verdicts", *files, "--json", "c.json", "--device=cpu")
    assert (status, err) == (0, "")
    assert re.search(r"both +1 +20 +5\.0%", out)
    assert json.loads((tmp_path / "c.json").read_text())["all"]["of"] == 20


@pytest.mark.parametrize(
    ("command", "status", "message"),
    [
        ("rate", 2, "requires an argument"),
        ("rate nowhere -n 0", 2, "rate: n is a whole number ≥ 1, got 0"),
        ("rate nowhere -n 1001", 2, "n is at most 1,000, got 1,001"),
        ("rate nowhere", 1, "there is no such file"),
        ("rate nowhere --out x.png", 2, r"a file that ends in .html, got x.png"),
        ("rate nowhere --json x.json", 2, "--json is for the figures of --verdicts"),
        ("rate nowhere --verdicts x.json --out x.html", 2, "give it or --verdicts, not both"),
        ("rate nowhere --verdicts x.json", 1, "there is no such file"),
    ],
)
def test_bad_commands_are_one_line(command, status, message, rawgan_says):
    code, out, err = rawgan_says(*command.split())
    assert (code, out) == (status, "")
    assert re.fullmatch(rf"rawgan: .*{message}.*\n", err), err
