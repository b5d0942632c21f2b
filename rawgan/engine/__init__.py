"""The tape: Tensor, Node, Op, backward() and grad(). The whole engine.

An operation computes a value with array functions or a kernel and, if somebody wants a
gradient, leaves a `Node`: which operation, from which parents, with exactly the arrays that
its gradient rules need. `backward()` walks the Nodes newest to oldest, asks each rule for
its share and sums the shares. Rules are written with the same operations, which also take
plain arrays, so that they serve twice: on arrays for a plain backward pass, on Tensors
where the gradient itself is to be differentiated.

>>> x = tensor([1.0, 2.0], requires_grad=True)
>>> (gx,) = grad((x * x * x).sum(), [x], create_graph=True)
>>> (ggx,) = grad(gx.sum(), [x])
>>> ggx.numpy()
array([ 6., 12.], dtype=float32)
"""

from rawgan.engine.backward import grad
from rawgan.engine.mode import MODE, Mode, Watch, no_grad, switch
from rawgan.engine.tape import OPS, Node, Op, Rule, op
from rawgan.engine.tensor import Tensor, tensor

__all__ = [
    "MODE",
    "OPS",
    "Mode",
    "Node",
    "Op",
    "Rule",
    "Tensor",
    "Watch",
    "grad",
    "no_grad",
    "op",
    "switch",
    "tensor",
]
