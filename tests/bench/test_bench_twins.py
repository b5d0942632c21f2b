"""PyTorch's side of a step: nothing makes it slower, or more or less exact, than it need be."""

import numpy as np
import pytest

import rawgan
from rawgan.bench import document, kernels, steps

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")
twins = pytest.importorskip("rawgan.bench.twins")


class Elsewhere(str):
    """A name of the processor's that is not "cpu", for what is done on a GPU only."""

    __hash__ = str.__hash__

    def __eq__(self, other):
        return self is other

    def __ne__(self, other):
        return self is not other


@pytest.fixture
def graphed(monkeypatch):
    """What torch.compile, CUDA graphs and the wait were asked, in order."""
    asked = []
    monkeypatch.setattr(torch, "compile", lambda net, mode: asked.append(mode) or net)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: asked.append("step"))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: asked.append("wait"))
    return asked


def test_a_graphed_step_is_warm_and_marks_its_beginning(graphed):
    ours = steps.trainer("mlp", 4)
    ours.device = Elsewhere("cpu")
    call = twins.call(ours, compiled=True)
    assert graphed == ["reduce-overhead"] * 2 + ["step"] * twins.WARM
    assert twins.WARM >= 4
    call.seconds(2)
    assert graphed[2 + twins.WARM :] == ["step", "step", "wait"]
    losses = call.run()
    assert [type(loss) for loss in losses] == [torch.Tensor] * 2  # nobody has waited for them
    assert not any(loss.requires_grad for loss in losses)


def test_an_eager_step_marks_nothing_and_on_the_processor_nobody_waits(graphed):
    call = twins.call(steps.trainer("mlp", 4))
    assert call.wait is None
    assert graphed == []


@pytest.mark.parametrize("recipe", ["mlp", "mixture", "dcgan_cifar10"])
def test_batches_of_a_gpu_are_those_of_the_processor(recipe):
    ours = steps.trainer(recipe, 4)
    for number in (0, 1, 1024):
        ours.device = "cpu"
        here = twins._batches(ours)(number).numpy()
        np.testing.assert_array_equal(here, ours.real_batch(number))
        ours.device = Elsewhere("cpu")
        there = twins._batches(ours)(number)
        assert there.dtype == torch.float32
        np.testing.assert_allclose(there.numpy(), here, atol=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_both_compute_as_exactly_and_the_document_says_how(precision):
    with rawgan.use_precision(precision):
        found = [
            kernels.run(["cpu"], ["torch"], only=["sigmoid"], batch=1, seconds=1e-4),
            steps.run(["cpu"], ["torch"], only=["mlp"], batch=1, seconds=1e-4),
        ]
    for of in found:
        said = of["settings"]["torch"]
        assert (
            said["backends.cuda.matmul.allow_tf32"]
            is said["backends.cudnn.allow_tf32"]
            is (precision == "tf32")
        )
        assert of["precision"] == {"fp32": "float32", "tf32": "TF32"}[precision]
    assert torch.backends.cuda.matmul.allow_tf32 is torch.backends.cudnn.allow_tf32 is (precision == "tf32")
    assert document.of_torch([]) == {}
