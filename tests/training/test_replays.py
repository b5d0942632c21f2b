"""Replayed steps are the steps of the trainer, bit for bit; what cannot be replayed is noticed."""

import weakref
from contextlib import contextmanager

import numpy as np
import pytest
from tiny_runs import assert_same, quick

import rawgan
from rawgan import arrays, losses, nn, ops, optim, recipes, rng, schedules
from rawgan.kernels.cuda import host, recording
from rawgan.training import recorded, replays

pytestmark = pytest.mark.skipif(not host.has_compiler(), reason="needs a C++ compiler")
SIM = {"device": "cuda-sim", "steps": 6}
POINTS = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)


@pytest.fixture
def made(monkeypatch):
    """The recordings that are made."""
    found, make = [], recorded.Recorded.__init__

    def note(self, *given):
        make(self, *given)
        found.append(self)

    monkeypatch.setattr(recorded.Recorded, "__init__", note)
    return found


def eagerly(monkeypatch, *given, **more):
    """The same training without replays."""
    with monkeypatch.context() as patch:
        patch.setattr(replays, "WARM", 1000)
        return quick(*given, **more)


@pytest.mark.parametrize("recipe", recipes.names())
def test_every_recipe_is_the_run_without_replays(recipe, made, monkeypatch):
    run = quick(recipe, **SIM)
    assert [r.done for r in made] == [4]
    assert_same(run, eagerly(monkeypatch, recipe, **SIM))


@pytest.mark.parametrize(
    "settings",
    [
        {"d_steps": 3},
        {"clip_norm": 0.01},
        {"clip_norm_each": 0.01, "clip_value": 0.001},
        {"optimizer": "sgd"},
        {"optimizer": "rmsprop"},
        {"optimizer": "adagrad"},
        {"schedule": "linear", "schedule_steps": 5},
        {"schedule": "cosine", "schedule_steps": 9, "optimizer": "sgd"},
        {"schedule": "cosine", "schedule_steps": 9, "optimizer": "rmsprop"},
        {"schedule": "linear", "schedule_steps": 9, "optimizer": "rmsprop_printed"},
        {"objective": "hinge"},
        {"objective": "least_squares"},
    ],
    ids=str,
)
def test_every_setting_is_the_run_without_replays(settings, made, monkeypatch):
    run = quick("mixture", **SIM, **settings)
    assert [r.done for r in made] == [4]
    assert_same(run, eagerly(monkeypatch, "mixture", **SIM, **settings))


def test_more_steps_than_the_device_holds_rows_for(made, monkeypatch):
    monkeypatch.setattr(recorded, "MOST", 4)
    monkeypatch.setattr(replays, "MOST", 4)
    run = quick("mlp", **SIM | {"steps": 25}, batch_size=40)  # and over the ends of epochs
    assert [r.done for r in made] == [23]
    assert_same(run, eagerly(monkeypatch, "mlp", **SIM | {"steps": 25}, batch_size=40))


def custom(*, generator=(), discriminator=()):
    rawgan.manual_seed(0)
    G = nn.Sequential(nn.Dense(4, 8), *generator, nn.ReLU(), nn.Dense(8, 2))
    D = nn.Sequential(nn.SpectralNorm(nn.Dense(2, 8)), *discriminator, nn.LeakyReLU(), nn.Dense(8, 1))
    return {"generator": G, "discriminator": D, "data": POINTS, "batch_size": 8, "noise": 4}


def own(steps=8, callbacks=(), settings=None, **networks):
    more = {"steps": steps, "callbacks": callbacks, "device": "cuda-sim", "progress": False}
    return rawgan.train(**custom(**networks), **more, **(settings() if settings else {}))


def own_eagerly(monkeypatch, *given, **more):
    with monkeypatch.context() as patch:
        patch.setattr(replays, "WARM", 1000)
        return own(*given, **more)


def test_layers_that_keep_something_from_step_to_step(made, monkeypatch):
    run = own(generator=[nn.BatchNorm(8)], discriminator=[nn.Dropout(0.3)])
    assert [r.done for r in made] == [6]
    assert_same(run, own_eagerly(monkeypatch, generator=[nn.BatchNorm(8)], discriminator=[nn.Dropout(0.3)]))


class Pool(nn.Module):
    def forward(self, x):
        return ops.max_pool2d(x, 2)


def test_networks_that_pool(made, monkeypatch):
    def trained():
        pictures = np.random.default_rng(0).integers(0, 256, (16, 1, 8, 8), np.uint8)
        rawgan.manual_seed(0)
        G = nn.Sequential(nn.Dense(4, 64), nn.Reshape((1, 8, 8)), nn.Tanh())
        D = nn.Sequential(nn.Conv2d(1, 3, 3), Pool(), nn.Flatten(), nn.Dense(27, 1))
        settings = {"batch_size": 4, "noise": 4, "steps": 6, "device": "cuda-sim", "progress": False}
        return rawgan.train(generator=G, discriminator=D, data=pictures, **settings)

    run = trained()
    assert [r.done for r in made] == [4]
    monkeypatch.setattr(replays, "WARM", 1000)
    assert_same(run, trained())


CHANGES = {
    "learning rate": lambda run: setattr(run.trainer.optimizers["generator"], "lr", 0.1),
    "dropout": lambda run: setattr(run.discriminator[1], "p", 0.9),
    "mode": lambda run: run.discriminator.eval(),
    "weight": lambda run: setattr(run.generator[0].weight, "data", 0 * run.generator[0].weight.data),
    "weight in place": lambda run: run.generator[0].weight.copy_(0 * run.generator[0].weight.data),
    "frozen": lambda run: setattr(run.generator[0].weight, "requires_grad", False),
    "draws": lambda run: run.trainer.noise.next(),
    "stream": lambda run: setattr(run.trainer, "noise", rng.Generator(7)),
    "optimizer": lambda run: run.trainer.optimizers.update(
        generator=optim.SGD(run.generator.parameters(), 0.1)
    ),
    "schedule": lambda run: setattr(
        run.trainer.optimizers["generator"], "schedule", schedules.make("linear", 9)
    ),
    "objective": lambda run: setattr(run.trainer, "objective", losses.adversarial("hinge")),
    "recipe": lambda run: run.trainer.recipe.clip_norm.update(generator=1e-4),
    "average": lambda run: setattr(run.trainer.average, "decay", 0.1),
    "a layer": lambda run: setattr(run.generator, "1", nn.Tanh()),
    "its function": lambda run: setattr(run.generator[1], "forward", ops.tanh),
    "a list": lambda run: run.discriminator[2].factors.append(3.0),
    "a host's array": lambda run: run.discriminator[2].more.fill(2),
    "NumPy's number": lambda run: setattr(run.discriminator[2], "last", np.float32(3)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_callback_changes_counts_from_the_next_step_on(change, made, monkeypatch):
    def callback(run, row):
        if row["step"] == 5:
            CHANGES[change](run)

    def trained(train, *given):
        settings = lambda: {"average": 0.9, "clip_norm": {"generator": 1.0}}  # noqa: E731
        return train(*given, 12, [callback], settings, discriminator=[nn.Dropout(0.3), Scaled()])

    run = trained(own)
    assert [r.done for r in made] == ([10] if change == "weight in place" else [3, 3])
    assert_same(run, trained(own_eagerly, monkeypatch))


class Scaled(nn.Module):
    """Its factors lie where a user may keep them."""

    def __init__(self):
        super().__init__()
        self.factors, self.more, self.last = [0.5, 2.0], np.ones(2), np.float32(1)

    def forward(self, x):
        return x * (float(np.prod(self.factors)) * float(self.more[0]) * float(self.last))


def test_who_changes_something_at_every_step_has_few_recordings(made, monkeypatch):
    def callback(run, row):
        run.trainer.optimizers["generator"].lr *= 0.9

    run = own(60, [callback])
    assert [r.done for r in made] == [1, 1, 1, 1]
    assert_same(run, own_eagerly(monkeypatch, 60, [callback]))


class Counting(nn.Module):
    """Looks at the host's clock, so to speak."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x * (1.0 + self.calls)


class Reading(nn.Module):
    def forward(self, x):
        return x * (2.0 if float(x.data.max()) > 0 else 3.0)


class Sending(nn.Module):
    def forward(self, x):
        return x + rawgan.tensor(np.full(8, 0.5, np.float32))


class Asking(nn.Module):
    def forward(self, x):
        return x * arrays.namespace(x.data).asarray(2.0, dtype=x.dtype)


class Drawing(nn.Module):
    def forward(self, x):
        return x * float(rng.current().uniform((), device="cpu"))


class Choosing(nn.Module):
    def forward(self, x):
        return x * float(1 + rng.current().integers(5))


class Mixing(nn.Module):
    def forward(self, x):
        return x[rng.current().permutation(8)]


class Appending(Counting):
    """Its state is in a list."""

    def __init__(self):
        super().__init__()
        self.calls = [1.0]

    def forward(self, x):
        self.calls.append(self.calls[-1] + 0.1)
        return x * self.calls[-1]


class Following(nn.Module):
    """Its state is an array that is no buffer."""

    def __init__(self):
        super().__init__()
        self.mean = 0.0

    def forward(self, x):
        self.mean = 0.5 * self.mean + 0.5 * x.data.mean()
        return x + rawgan.Tensor(self.mean)


class Textbook(nn.Module):
    def forward(self, x):
        with rawgan.use_kernels("reference"):
            return ops.tanh(x)


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (Counting, r"Counting\.calls changes"),
        (Appending, r"Appending\.calls changes"),
        (Following, r"Following\.mean changes"),
        (Reading, "read back"),
        (Sending, "from the host"),
        (Asking, "from the host"),
        (Drawing, "drawn on the host"),
        (Choosing, "drawn on the host"),
        (Mixing, "drawn on the host"),
        (Textbook, "reference kernels"),
    ],
)
def test_what_cannot_be_replayed_is_done_step_by_step(layer, why, made, monkeypatch):
    with pytest.warns(UserWarning, match=why):
        run = own(generator=[nn.BatchNorm(8), layer()])  # which has replaced its statistics by then
    assert not made
    assert_same(run, own_eagerly(monkeypatch, generator=[nn.BatchNorm(8), layer()]))


def test_a_baked_in_number_would_be_seen(made, monkeypatch):
    """The tests above can fail: a count that stands still makes another run."""
    for module in ("random", "update", "data"):
        monkeypatch.setattr(f"rawgan.kernels.cuda.{module}.split", lambda n: (int(n), None))
        baked = quick("mixture", **SIM)
        monkeypatch.undo()
        with pytest.raises(AssertionError):
            assert_same(baked, eagerly(monkeypatch, "mixture", **SIM))


@pytest.mark.parametrize("recipe", ["dcgan_mnist", "encoder_gan", "gat", "mixture", "vae"])
def test_a_replay_reads_nothing_that_an_earlier_one_has_left(recipe, made, monkeypatch):
    """Whatever outlives no step is spoilt before each replay, as others could write there on a GPU."""
    replay = recording.Recording.replay

    def spoilt(self):
        held = [made[0]._table, made[0]._growth, made[0]._stage._items, made[0]._stage._table]
        held += [array for array, _ in made[0]._state]
        passed = [x for launch in self.launches for value in launch.arguments for x in arrays_in(value)]
        for array in {id(x): x for x in passed}.values():
            if not any(np.may_share_memory(array, kept) for kept in held):
                host.plain(array).view(np.uint8)[...] = 0xFF  # NaN, or -1
        replay(self)

    monkeypatch.setattr(recording.Recording, "replay", spoilt)
    run = quick(recipe, **SIM)
    assert made[0].done == 4
    assert_same(run, eagerly(monkeypatch, recipe, **SIM))


def test_nothing_outlives_a_recording_that_was_made_after_it(made, monkeypatch):
    """On a GPU it would lie where the recorded step had something, and the next replay would write there."""
    late, after, on_device, making = [], [False], host.on_device, recording.Recording.making

    @contextmanager
    def watched(self):
        with making(self):
            yield
        after[0] = True

    def note(value):
        found = on_device(value)
        if after[0] and isinstance(found, host.HostArray):
            late.append(weakref.ref(found))
        return found

    monkeypatch.setattr(recording.Recording, "making", watched)
    monkeypatch.setattr(host, "on_device", note)
    run = quick("dcgan_mnist", **SIM | {"steps": 3})
    assert run.steps == 3
    assert late
    assert [ref().shape for ref in late if ref() is not None] == []


def arrays_in(value):
    if isinstance(value, list | tuple):
        return [array for item in value for array in arrays_in(item)]
    return [value] if isinstance(value, np.ndarray) else []


def test_a_number_that_is_not_finite_is_named_and_nothing_is_lost(made, monkeypatch):
    """It comes in the middle of a run of replays; history and weights are those without replays."""

    def blow_up(steps=30):
        made = custom(generator=[Growing()])
        with pytest.raises(rawgan.NonFiniteError) as error:
            rawgan.train(**made, steps=steps, device="cuda-sim", progress=False, learning_rate=0.5)
        return str(error.value), made["generator"].state_dict()

    replayed, state = blow_up()
    assert len(made) == 1
    monkeypatch.setattr(replays, "WARM", 1000)
    eager, wanted = blow_up()
    assert replayed == eager
    assert "exp" in eager
    for name, value in wanted.items():
        np.testing.assert_array_equal(state[name], value)


class Growing(nn.Module):
    """Its output grows with the weight before it until it overflows."""

    def forward(self, x):
        return ops.exp(ops.exp(x))


def test_the_host_waits_once_for_many_steps(made, monkeypatch):
    reads, get = [], host.HostArray.get
    monkeypatch.setattr(host.HostArray, "get", lambda self: reads.append(self.shape) or get(self))
    monkeypatch.setattr(replays, "SECONDS", 1e9)
    run = quick("mixture", **SIM | {"steps": 42})
    assert [r.done for r in made] == [40]
    eager = len(reads) - 1
    assert reads[-1] == (recorded.MOST, 6)
    assert eager == 2 * 6
    assert run.steps == 42


NODES = {  # of the graph of a step
    "mlp": 100,
    "dense_conv": 295,
    "dcgan_mnist": 195,
    "dcgan_cifar10": 225,
    "encoder_gan": 235,
    "gat": 185,
    "wgan": 330,
    "wgan_gp": 440,
    "mixture": 90,
    "autoencoder": 40,
    "vae": 75,
}


@pytest.mark.parametrize("recipe", recipes.names())
def test_the_work_of_a_step_is_in_as_few_pieces_as_it_was(recipe, made):
    """A GPU takes a microsecond or two for each, whatever it does."""
    quick(recipe, **SIM | {"steps": 3})
    maker = made[0]._maker
    assert 20 < len(maker.calls) <= NODES[recipe]
    assert 0.3 * len(maker.calls) <= len(maker.launches)  # the others are the array module's
    assert all(type(launch) is recording.Launch for launch in maker.launches)
