"""Objects that are no tensors, units and a small tracer have a say through `__torch_function__`."""


def handlers():
    import functools

    import torch

    HANDLED = {}

    def implements(f):
        def deco(g):
            functools.update_wrapper(g, f)
            HANDLED[f] = g
            return g

        return deco

    class ScalarTensor:
        def __init__(self, N, value):
            self._N, self._value = (N, value)

        def __repr__(self):
            return f"ScalarTensor(N={self._N}, value={self._value})"

        def tensor(self):
            return self._value * torch.eye(self._N)

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            if kwargs is None:
                kwargs = {}
            if func not in HANDLED or not all(issubclass(t, (torch.Tensor, ScalarTensor)) for t in types):
                return NotImplemented
            return HANDLED[func](*args, **kwargs)

    @implements(torch.mean)
    def mean(input):
        return float(input._value) / input._N

    def ensure(d):
        return d.tensor() if isinstance(d, ScalarTensor) else torch.as_tensor(d)

    @implements(torch.add)
    def add(input, other):
        try:
            if input._N == other._N:
                return ScalarTensor(input._N, input._value + other._value)
            raise ValueError("Shape mismatch!")
        except AttributeError:
            return torch.add(ensure(input), ensure(other))

    @implements(torch.nn.functional.linear)
    def lin(input, weight, bias=None):
        return "linear"

    d = ScalarTensor(5, 2)
    print(torch.mean(d), torch.add(d, d))
    print(torch.add(d, torch.ones(5, 5)))
    print(torch.nn.functional.linear(d, torch.ones(2, 5)))
    try:
        torch.mul(d, 3)
    except TypeError as e:
        print(str(e)[:60])
    try:
        torch.add(ScalarTensor(2, 2), ScalarTensor(3, 2))
    except ValueError as e:
        print(e)


def units():
    import torch

    class Quantity(torch.Tensor):
        @staticmethod
        def __new__(cls, x, unit="", *a, **k):
            return torch.as_tensor(x).as_subclass(cls)

        def __init__(self, x, unit=""):
            self.unit = unit

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            out = super().__torch_function__(func, types, args, kwargs or {})
            units = [a.unit for a in args if isinstance(a, Quantity) and hasattr(a, "unit")]
            if func in (torch.Tensor.mul, torch.mul):
                unit = "*".join(units)
            elif func in (torch.Tensor.div, torch.div):
                unit = "/".join(units)
            elif func in (torch.Tensor.add, torch.add, torch.Tensor.sub, torch.sub):
                if len(set(units)) > 1:
                    raise ValueError(f"units differ: {units}")
                unit = units[0] if units else ""
            else:
                unit = units[0] if units else ""
            if isinstance(out, Quantity):
                out.unit = unit
            return out

    a, b = (Quantity([1.0, 2.0], "m"), Quantity([3.0, 4.0], "s"))
    print(
        (a * b).unit,
        (a / b).unit,
        (a + a).unit,
        (-a).unit,
        a.sum().unit,
        a[0].unit,
        torch.mul(a, b).unit,
        (2 * a).unit,
        (a / 2).unit,
    )
    try:
        a + b
    except ValueError as e:
        print(e)
    print(type(a.mean()), type(a.shape), a.tolist(), float(a[0]), len(a), [type(x).__name__ for x in a], a.numpy())
    c = a.clone()
    c += a
    print(c, c.unit if hasattr(c, "unit") else None)
    c[0] = 9
    print(c)
    print(torch.stack([a, b]).__class__.__name__, torch.cat([a, torch.ones(1)]).__class__.__name__)
    g = Quantity([1.0, 2.0], "kg").requires_grad_()
    (g * g).sum().backward()
    print(g.grad, type(g.grad).__name__)
    print(a, repr(b), str(a[0]))
    print(a == a, (a > 1).any(), torch.equal(a, a), torch.allclose(a, a))


def order_of_asking():
    import torch

    calls = []

    def mk(name, bases=(), ret=NotImplemented):
        def tf(cls, func, types, args=(), kwargs=None):
            calls.append((name, func.__name__, tuple(t.__name__ for t in types)))
            return ret

        return type(name, bases, {"__torch_function__": classmethod(tf)})

    A = mk("A")
    B = mk("B", (A,))
    C = mk("C", (), "c")
    T = mk("T", (torch.Tensor,))
    U = mk("U", (T,), "u")

    def run(f):
        calls.clear()
        try:
            r = f()
        except TypeError:
            r = "TypeError"
        print(r, calls)

    t = torch.ones(2)
    T_ = t.as_subclass(T)
    U_ = t.as_subclass(U)
    run(lambda: torch.add(A(), B()))
    run(lambda: torch.add(A(), C()))
    run(lambda: torch.stack([A(), t, B(), C()]))
    run(lambda: torch.add(T_, U_))
    run(lambda: T_ + U_)
    run(lambda: T_ + C())
    run(lambda: torch.where(t > 0, A(), U_))
    run(lambda: torch.cat((T_, T_)))
    run(lambda: t * T_)
    run(lambda: T_ * 2)
    run(lambda: torch.add(1, C()))
    run(lambda: torch.add(t, t, out=C()))
    run(lambda: torch.nn.functional.linear(C(), t))
    run(lambda: torch.addmm(t, A(), C()))
    run(lambda: t.add(C()))
    run(lambda: t.add_(C()))
    run(lambda: torch.index_select(t, 0, C()))
    run(lambda: t[C()])
    run(lambda: torch.max(t, C()))
    run(lambda: torch.einsum("i,i", t, C()))
    run(lambda: torch.meshgrid(t, C(), indexing="ij"))
    run(lambda: torch.broadcast_tensors(t, C()))
    run(lambda: torch.tensordot(t, C(), 1))
    run(lambda: torch.split(C(), 1))
    run(lambda: torch.norm(C()))
    run(lambda: torch.unique(C()))
    run(lambda: torch.zeros_like(C()))
    run(lambda: torch.full_like(C(), 1))
    run(lambda: torch.randn_like(C()))
    run(lambda: torch.linalg.inv(C()))
    run(lambda: torch.fft.fft(C()))
    run(lambda: torch.special.erf(C()))
    run(lambda: torch.nn.functional.conv2d(t, C()))
    run(lambda: torch.nn.functional.cross_entropy(C(), t))
    run(lambda: torch.is_tensor(C()))
    run(lambda: torch.numel(C()))
    run(lambda: torch.is_floating_point(C()))
    run(lambda: torch.topk(C(), 2))
    run(lambda: torch.sort(C()))
    run(lambda: torch.gather(t, 0, C()))
    run(lambda: torch.scatter(t, 0, C(), t))
    run(lambda: torch.nn.functional.interpolate(C(), 2))
    run(lambda: torch.nn.functional.pad(C(), (1, 1)))
    run(lambda: torch.nn.functional.dropout(C()))
    run(lambda: torch.nn.functional.embedding(C(), t))
    run(lambda: torch.nn.functional.layer_norm(C(), (2,)))
    run(lambda: torch.nn.functional.batch_norm(C(), t, t))
    run(lambda: torch.bernoulli(C()))
    run(lambda: torch.multinomial(C(), 1))
    run(lambda: torch.cumsum(C(), 0))
    run(lambda: torch.diag(C()))
    run(lambda: torch.tril(C()))
    run(lambda: torch.flatten(C()))
    run(lambda: torch.permute(C(), (0,)))
    run(lambda: torch.squeeze(C()))
    run(lambda: torch.chunk(C(), 2))
    run(lambda: torch.clamp(C(), 0))
    run(lambda: torch.sigmoid(C()))
    run(lambda: torch.std(C()))
    run(lambda: torch.allclose(C(), t))
    run(lambda: torch.result_type(C(), t))
    run(lambda: torch.can_cast(torch.float32, torch.float64))
    run(lambda: torch.cdist(C(), t))
    run(lambda: torch.bmm(C(), t))
    run(lambda: torch.nonzero(C()))
    run(lambda: torch.masked_select(t, C()))
    run(lambda: torch.histc(C()))
    run(lambda: torch.bincount(C()))
    run(lambda: torch.normal(C(), 1.0))
    run(lambda: torch.repeat_interleave(C(), 2))
    run(lambda: torch.tile(C(), (2,)))
    run(lambda: torch.roll(C(), 1))
    run(lambda: torch.logsumexp(C(), 0))
    run(lambda: torch.lerp(t, C(), 0.5))
    run(lambda: torch.nn.functional.one_hot(C()))
    run(lambda: torch.nn.functional.multi_head_attention_forward) if False else None


def tracer():
    import torch

    class Proxy:
        n = 0

        def __init__(self, name, graph):
            self.name, self.graph = (name, graph)

        def __repr__(self):
            return f"%{self.name}"

        def __getattr__(self, k):
            if k.startswith("__"):
                raise AttributeError(k)
            return Attr(self, k)

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            p = next(a for a in flat(args, kwargs) if isinstance(a, Proxy))
            return p.graph.call(torch.overrides.resolve_name(func) or func.__name__, args, kwargs or {})

        def __add__(self, o):
            return self.graph.call("operator.add", (self, o), {})

        def __radd__(self, o):
            return self.graph.call("operator.add", (o, self), {})

        def __getitem__(self, k):
            return self.graph.call("operator.getitem", (self, k), {})

    class Attr(Proxy):
        def __init__(self, root, attr):
            self.root, self.attr, self.graph, self.name = (root, attr, root.graph, f"{root.name}.{attr}")

        def __call__(self, *a, **k):
            return self.graph.call("." + self.attr, (self.root, *a), k)

    def flat(a, k):
        for v in [*a, *(k or {}).values()]:
            if isinstance(v, (list, tuple)):
                yield from v
            else:
                yield v

    class Graph:
        def __init__(self):
            self.nodes = []

        def call(self, t, a, k):
            p = Proxy(f"v{len(self.nodes)}", self)
            self.nodes.append((p.name, t, a, k))
            return p

    import torch.nn.functional as F
    from torch import nn

    lin = nn.Linear(2, 2)

    def f(x, y):
        a = torch.relu(x) + y
        b = F.gelu(a)
        c = torch.cat([a, b], dim=1)
        c.view(-1, 4).sum(dim=1)
        F.linear(a, torch.ones(2, 2))
        torch.add(torch.ones(2), x)
        torch.ones(2) + y
        torch.matmul(x, y)[0]
        nn.ReLU()(x)
        lin(x)
        nn.Sequential(nn.Linear(2, 2), nn.Tanh())(x)
        torch.where(x, y, 0.0)
        torch.stack((x, y))
        nn.functional.softmax(x, dim=-1)
        nn.LayerNorm(2)(x)
        nn.Conv2d(1, 1, 1)(x)
        nn.MaxPool2d(2)(x)
        nn.Embedding(2, 2)(x)
        nn.Flatten()(x)
        torch.flatten(x, 1)
        F.max_pool2d(x, 2)
        return a

    g = Graph()
    f(Proxy("x", g), Proxy("y", g))
    for n, t, a, _k in g.nodes:
        print(n, t, [x if isinstance(x, (Proxy, int, float)) else type(x).__name__ for x in a])


handlers()
units()
order_of_asking()
tracer()
