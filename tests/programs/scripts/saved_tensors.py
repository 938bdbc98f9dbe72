"""What the tape keeps: the tutorial on hooks for saved tensors, graphs as drawing tools walk them, hooks on several gradients."""

import os
import tempfile
import uuid

import torch
from torch import nn
from torch.autograd.graph import GradientEdge, get_gradient_edge, increment_version, register_multi_grad_hook

torch.manual_seed(0)


def tell(what):
    try:
        print(what())
    except Exception as error:
        print(f"{type(error).__name__}: {str(error)[:130]}")


def saved_attributes():
    x = torch.randn(3, requires_grad=True)
    y = x.pow(2)
    print(x.equal(y.grad_fn._saved_self), x is y.grad_fn._saved_self, y.grad_fn._saved_exponent)
    z = x.exp()
    print(z.equal(z.grad_fn._saved_result), z is z.grad_fn._saved_result)
    a, b = torch.ones(2, requires_grad=True), torch.full((2,), 3.0)
    product = a * b
    print(product.grad_fn._saved_other, product.grad_fn._saved_self)
    weight = torch.ones(2, 3, requires_grad=True)
    mm = torch.ones(1, 2) @ weight
    print(mm.grad_fn._saved_self, mm.grad_fn._saved_mat2)
    product.sum().backward()
    tell(lambda: product.grad_fn._saved_other)
    tell(lambda: product.grad_fn._saved_nothing)


def raw_hooks():
    x = torch.ones(5, requires_grad=True)
    y = x.pow(2)
    y.grad_fn._raw_saved_self.register_hooks(lambda t: print("pack") or t * 4, lambda t: print("unpack") or t)
    tell(lambda: y.grad_fn._raw_saved_self.register_hooks(lambda t: t, lambda t: t))
    y.sum().backward()
    print(x.grad)
    tell(lambda: y.grad_fn._raw_saved_self.register_hooks(lambda t: t, lambda t: t))
    tell(lambda: (x * 2).grad_fn._raw_saved_self.register_hooks(lambda t: t, lambda t: t))


class SelfDeletingTempFile:
    def __init__(self):
        self.name = os.path.join(tempfile.gettempdir(), str(uuid.uuid4()))

    def __del__(self):
        os.remove(self.name)


def pack_to_disk(tensor):
    temp_file = SelfDeletingTempFile()
    torch.save(tensor, temp_file.name)
    return temp_file


def unpack_from_disk(temp_file):
    return torch.load(temp_file.name)


class SaveToDiskModule(nn.Module):
    def forward(self, x):
        with torch.autograd.graph.saved_tensors_hooks(pack_to_disk, unpack_from_disk):
            return torch.sigmoid(x @ torch.full((3, 3), 0.5)).exp()


def offloading():
    x = torch.ones(2, 3, requires_grad=True)
    SaveToDiskModule()(x).sum().backward()
    print(x.grad)
    model = nn.Sequential(nn.Linear(10, 100), nn.ReLU(), nn.Linear(100, 10))
    data = torch.randn(4, 10)
    with torch.autograd.graph.save_on_cpu():
        model(data).sum().backward()
    print(model[0].weight.grad.sum())
    with torch.autograd.graph.disable_saved_tensors_hooks("not here"):
        tell(lambda: torch.autograd.graph.save_on_cpu().__enter__())
    with torch.autograd.graph.allow_mutation_on_saved_tensors() as kept:
        a = torch.ones(2, 3, requires_grad=True)
        b = a.clone()
        out = (b**2).sum()
        b.sin_()
        out.backward()
        print(a.grad)
        kept.clear()


def lines_of(root, params):
    """As torchviz draws it: the nodes, in the order of the walk, with their names and edges."""
    names = {id(p): n for n, p in params}
    seen, lines = set(), []

    def add(fn):
        if fn in seen:
            return
        seen.add(fn)
        kind = str(type(fn).__name__)
        variable = getattr(fn, "variable", None)
        lines.append(f"{kind} {names.get(id(variable), '')} {list(variable.shape) if variable is not None else ''}")
        for next_fn, number in fn.next_functions:
            if next_fn is not None:
                lines.append(f"  {kind} -> {type(next_fn).__name__} {number}")
                add(next_fn)

    add(root.grad_fn)
    return lines


def drawing():
    w, b = nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.randn(3))
    hidden = (torch.mm(torch.randn(5, 4), w) + b).tanh()
    loss = (hidden.exp() * hidden[:, :1].expand(5, 3)).mean() + torch.cat([b, b]).sum()
    print("\n".join(lines_of(loss, [("w", w), ("b", b)])))
    node = loss.grad_fn
    print(node.name(), isinstance(node, torch.autograd.graph.Node), node.metadata, callable(node))
    node.metadata["seen"] = 1
    print(loss.grad_fn.metadata)


def several_gradients():
    a, b = (torch.ones(2, 2, requires_grad=True) for _ in range(2))
    c, d = a * b, a * b
    e = a + c
    show = lambda grads: print([None if g is None else g.sum().item() for g in grads])  # noqa: E731
    handle = register_multi_grad_hook((a, b, c, d), show)
    c.sum().backward(retain_graph=True)
    c.sum().backward(inputs=(a,), retain_graph=True)
    e.sum().backward(retain_graph=True)
    handle.remove()
    first = register_multi_grad_hook([a, b, c], lambda grad: print("first", grad.sum()), mode="any")
    e.sum().backward(retain_graph=True)
    first.remove()
    e.sum().backward()
    tell(lambda: register_multi_grad_hook([a], show, mode="some"))
    tell(lambda: register_multi_grad_hook([torch.ones(1)], show))


def edges():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = x.sin()
    z = y * 2
    edge = get_gradient_edge(y)
    print(edge.node.name(), edge.output_nr, isinstance(edge, GradientEdge))
    print(torch.autograd.grad(z.sum(), edge, retain_graph=True), torch.autograd.grad(z.sum(), [get_gradient_edge(x)]))
    w = get_gradient_edge((x * 3).sum())
    torch.autograd.backward(w)
    print(x.grad)
    tell(lambda: get_gradient_edge(torch.ones(1)))
    tell(lambda: torch.autograd.grad((x * 3).sum(), GradientEdge(None, 0)))
    before = x._version
    increment_version(x)
    increment_version([x, x])
    print(x._version - before)


def switches():
    with torch.autograd.set_multithreading_enabled(False):
        print(torch._C._is_multithreading_enabled())
    print(torch._C._is_multithreading_enabled(), torch.is_anomaly_enabled())
    torch.set_anomaly_enabled(True)
    print(torch.is_anomaly_enabled())
    torch.set_anomaly_enabled(False)

    class Queue(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, grad):
            torch.autograd.Variable._execution_engine.queue_callback(lambda: print("at the end"))
            print("in backward")
            return grad

    x = torch.ones(1, requires_grad=True)
    x.register_hook(lambda grad: print("hook"))
    Queue.apply(x).backward()
    tell(lambda: torch.autograd.Variable._execution_engine.queue_callback(print))


for part in (saved_attributes, raw_hooks, offloading, drawing, several_gradients, edges, switches):
    print("---", part.__name__)
    part()
