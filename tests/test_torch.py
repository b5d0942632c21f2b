"""PyTorch as a witness: state dictionaries both ways, and twenty training steps of each recipe.

How near is near enough is measured, not guessed: PyTorch runs in float32 and in float64, and rawgan, in
float32, may be three times as far from the float64 run as PyTorch's own float32 is.
"""

import numpy as np
import pytest

from rawgan import nn, recipes, rng
from rawgan.recipes.adversarial import PLAYERS
from rawgan.training.step import Trainer

torch = pytest.importorskip("torch", reason="PyTorch is the witness here: pip install torch")
F = torch.nn.functional
torch.set_num_threads(1)  # the networks are small: more threads would only wait for each other

pytestmark = pytest.mark.torch


def conv(kind):
    def make(m):
        w = m.weight.shape
        extra = {"output_padding": m.output_padding} if kind is torch.nn.ConvTranspose2d else {}
        into, out = (w[0], w[1]) if kind is torch.nn.ConvTranspose2d else (w[1], w[0])
        return kind(into, out, w[2:], m.stride, m.padding, bias=m.bias is not None, **extra)

    return make


def batch_norm(m):
    """1-D or 2-D is one layer here and two in PyTorch."""
    kind = type(
        "BatchNorm", (torch.nn.modules.batchnorm._BatchNorm,), {"_check_input_dim": lambda self, x: None}
    )
    return kind(m.weight.shape[0], m.eps, m.momentum)


class Unflatten(torch.nn.Module):
    """(N, anything) to (N, *shape)."""

    def __init__(self, shape):
        super().__init__()
        self.shape = shape

    def forward(self, x):
        return x.reshape(len(x), *self.shape)


TWINS = {
    nn.Dense: lambda m: torch.nn.Linear(m.weight.shape[1], m.weight.shape[0], bias=m.bias is not None),
    nn.Conv2d: conv(torch.nn.Conv2d),
    nn.ConvTranspose2d: conv(torch.nn.ConvTranspose2d),
    nn.BatchNorm: batch_norm,
    nn.ReLU: lambda m: torch.nn.ReLU(),
    nn.LeakyReLU: lambda m: torch.nn.LeakyReLU(m.negative_slope),
    nn.Tanh: lambda m: torch.nn.Tanh(),
    nn.Sigmoid: lambda m: torch.nn.Sigmoid(),
    nn.Dropout: lambda m: torch.nn.Dropout(m.p),
    nn.Dropout2d: lambda m: torch.nn.Dropout2d(m.p),
    nn.Flatten: lambda m: torch.nn.Flatten(),
    nn.Reshape: lambda m: Unflatten(m.shape),
}


def twin_of(network, dtype=torch.float32):
    """The same network in PyTorch, with the same weights, loaded by name through NumPy."""
    net = torch.nn.Sequential(*(TWINS[type(layer)](layer) for layer in network)).to(dtype)
    state = {k: torch.from_numpy(v) for k, v in network.state_dict().items()}
    missing, unexpected = net.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(k.endswith("num_batches_tracked") for k in missing)
    return net


# One batch of small random pictures or points, and widths at which twenty steps take a moment.
SHAPES = {"mlp": (1, 8, 8), "dcgan_mnist": (1, 8, 8), "dcgan_cifar10": (3, 32, 32), "mixture": (2,)}
# Adam undoes a constant factor in a gradient; the clippings, all three in use, make it felt.
SMALL = {
    "mlp": {"hidden": 24, "clip_norm_each": {"generator": 0.008}, "clip_norm": {"discriminator": 0.16}},
    "dcgan_mnist": {
        "width": 6,
        "dropout": 0.0,
        "learning_rate": 2e-4,
        "clip_norm": {"generator": 0.002, "discriminator": 0.024},
    },
    "dcgan_cifar10": {
        "width": 4,
        "dropout": 0.0,
        "clip_norm": {"generator": 0.002, "discriminator": 0.045},
    },
    "mixture": {"hidden": 24, "clip_value": {"generator": 0.02, "discriminator": 0.05}},
}
assert set(SHAPES) == set(SMALL) < set(recipes.RECIPES)  # plain games, of which there is a twin here
every_recipe = pytest.mark.parametrize("name", SMALL)


def recipe_of(name):
    return recipes.make(name, batch_size=8, noise=10, **SMALL[name])


@every_recipe
def test_state_dictionaries_go_both_ways(name):
    recipe = recipe_of(name)
    for network in recipe.networks(SHAPES[name]).values():
        other = twin_of(network)
        with torch.no_grad():
            for p in other.parameters():
                p += 1
        names = [k for k in other.state_dict() if not k.endswith("num_batches_tracked")]
        assert names == list(network.state_dict())
        network.load_state_dict({k: v.numpy() for k, v in other.state_dict().items()})
        network.load_state_dict(other.state_dict())  # PyTorch's own tensors will do
        for k, v in network.state_dict().items():
            assert np.array_equal(v, other.state_dict()[k].numpy())


@every_recipe
def test_the_recipes_networks_compute_the_same(name):
    recipe = recipe_of(name)
    G, D = recipe.networks(SHAPES[name]).values()
    random = np.random.default_rng(0)
    z = random.normal(size=(5, recipe.noise)).astype(np.float32)
    x = random.uniform(-1, 1, (5, *SHAPES[name])).astype(np.float32)
    for network, value in ((G, z), (D, x)):
        for training in (True, False):
            other = twin_of(network).train(training)
            want = other(torch.from_numpy(value)).detach().numpy()
            found = network.train(training)(value).data
            assert found.shape == want.shape
            assert np.max(np.abs(found - want)) <= 1e-5 * max(1, np.max(np.abs(want)))


class Fixed:
    """Random numbers as data, a batch for each step."""

    def __init__(self, shape, low, high):
        self.shape, self.low, self.high = shape, low, high

    def batch_for(self, number, batch_size, key, low, high):
        random = np.random.default_rng([number, 7])
        return random.uniform(self.low, self.high, (batch_size, *self.shape)).astype(np.float32)


def clip(parameters, recipe, player):
    """The three clippings, by their formulas."""
    limit = recipe.for_player("clip_value", player)
    if limit is not None:
        for p in parameters:
            p.grad.clamp_(-limit, limit)
    limit = recipe.for_player("clip_norm_each", player)
    if limit is not None:
        for p in parameters:
            norm = p.grad.double().norm().item()
            if norm > limit:
                p.grad *= limit / norm
    limit = recipe.for_player("clip_norm", player)
    if limit is not None:
        norm = sum(p.grad.double().square().sum().item() for p in parameters) ** 0.5
        if norm > limit:
            for p in parameters:
                p.grad *= limit / norm


def torch_training(recipe, G, D, source, seed, steps):
    """The same steps as Trainer's, in PyTorch: D on separate real and fake batches, then G with D frozen."""
    dtype = next(G.parameters()).dtype
    noise = rng.Generator(seed).spawn("noise")
    players = {"generator": G, "discriminator": D}
    optimizers = {
        player: torch.optim.Adam(
            net.parameters(), recipe.for_player("learning_rate", player), recipe.betas, eps=1e-8
        )
        for player, net in players.items()
    }
    cross = F.binary_cross_entropy if recipe.probabilities else F.binary_cross_entropy_with_logits

    def loss(outputs, real):
        return cross(outputs, torch.full_like(outputs, float(real)))

    def update(player, value):
        optimizers[player].zero_grad()
        value.backward()
        parameters = list(players[player].parameters())
        clip(parameters, recipe, player)
        optimizers[player].step()

    for step in range(steps):
        batch = source.batch_for(step, recipe.batch_size, 0, recipe.low, recipe.high)
        z = noise.normal((recipe.batch_size, recipe.noise))
        fake = G(torch.from_numpy(z).to(dtype))
        real = torch.from_numpy(batch).to(dtype)
        update("discriminator", loss(D(real), 1) + loss(D(fake.detach()), 0))
        D.requires_grad_(False)
        if recipe.objective == "saturating":
            update("generator", -loss(D(fake), 0))
        else:
            update("generator", loss(D(fake), 1))
        D.requires_grad_(True)


def states(G, D):
    return {
        f"{player}.{k}": np.asarray(v, np.float64)
        for player, net in zip(PLAYERS, (G, D), strict=True)
        for k, v in net.state_dict().items()
        if not k.endswith("num_batches_tracked")
    }


def gaps(name, seed, steps=20):
    """For each parameter and running statistic: how far PyTorch's float32 and rawgan's are from float64.

    Both as the largest difference of any element, and never less than a unit in its last place.
    """
    recipe = recipe_of(name)
    source = Fixed(SHAPES[name], recipe.low, recipe.high)
    trainer = Trainer(recipe, SHAPES[name], source, seed)
    G, D = trainer.generator, trainer.discriminator
    twins = {dtype: (twin_of(G, dtype), twin_of(D, dtype)) for dtype in (torch.float32, torch.float64)}
    start = states(G, D)
    for _ in range(steps):
        trainer.step()
    for nets in twins.values():
        torch_training(recipe, *nets, source, seed, steps)
    narrow, wide = (states(*nets) for nets in twins.values())
    ours = states(G, D)
    assert ours.keys() == wide.keys()
    out = {}
    for k, v in wide.items():
        assert np.max(np.abs(v - start[k])) > 0, f"{k} has not moved"
        unit = np.finfo(np.float32).eps * np.max(np.abs(v))
        out[k] = max(np.max(np.abs(narrow[k] - v)), unit), np.max(np.abs(ours[k] - v))
    return out


@every_recipe
def test_twenty_training_steps(name):
    """The medians over runs: in a single one rounding may push an activation over a ReLU's kink."""
    runs = [gaps(name, seed) for seed in range(15)]
    for key in runs[0]:
        theirs, ours = np.median([run[key] for run in runs], axis=0)
        assert ours <= 3 * theirs, f"{key}: rawgan is {ours:.3g} from float64, PyTorch {theirs:.3g}"
