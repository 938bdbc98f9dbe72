"""Modes that see every function, and what `torch.overrides` tells of them."""


def modes():

    import torch
    from torch.overrides import TorchFunctionMode, resolve_name

    class Log(TorchFunctionMode):
        def __init__(self):
            self.names = []

        def __torch_function__(self, func, types, args=(), kwargs=None):
            self.names.append(resolve_name(func))
            return func(*args, **kwargs or {})

    with Log() as log:
        x = torch.ones(2, 2)
        y = x @ x + 1
        y.relu().sum()
        torch.nn.functional.gelu(y)
        torch.stack([x, y]).mean(0)
        x[0]
        x[0] = 1
        torch.einsum("ij->i", x)
        2 - x
        2 / x
        x**2
        len(x)
        x.numel()
    print(log.names)

    class Counter(TorchFunctionMode):
        n = 0

        def __torch_function__(self, func, types, args=(), kwargs=None):
            Counter.n += 1
            return func(*args, **kwargs or {})

    with Counter(), Log() as inner:
        torch.ones(1) + 1
    print(Counter.n, inner.names)
    torch.ones(1) + 1
    print(Counter.n)

    class Replace(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            if func is torch.add or func is torch.Tensor.add:
                func = torch.mul
            return func(*args, **kwargs or {})

    with Replace():
        print(torch.tensor(3.0) + 4, torch.add(torch.tensor(3.0), 5))

    class Dev(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            kwargs = dict(kwargs or {})
            if func in (torch.zeros, torch.ones, torch.empty, torch.full, torch.tensor, torch.arange):
                kwargs.setdefault("dtype", torch.float64)
            return func(*args, **kwargs)

    with Dev():
        print(torch.zeros(1).dtype, torch.tensor([1]).dtype, torch.arange(2).dtype, torch.full((1,), 2).dtype)
    try:
        with Dev():
            raise KeyError("x")
    except KeyError:
        print(torch.zeros(1).dtype)

    @Log() if False else lambda f: f
    def f():
        return 1

    print(f())


def overrides():
    import torch
    import torch.overrides as O
    from torch.overrides import handle_torch_function, has_torch_function

    def my_fn(a, b=1):
        if has_torch_function((a,)):
            return handle_torch_function(my_fn, (a,), a, b=b)
        return a + b

    class D:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return ("D", func is my_fn, len(args), kwargs)

    print(my_fn(1), my_fn(D(), b=3))
    print(O.is_tensor_like(D()), O.is_tensor_like(torch.ones(1)), O.is_tensor_like([1]))
    print(
        O.is_tensor_method_or_property(torch.Tensor.sum),
        O.is_tensor_method_or_property(torch.sum),
        O.is_tensor_method_or_property(torch.Tensor.T.__get__),
    )
    for f in (
        torch.sum,
        torch.Tensor.sum,
        torch.nn.functional.conv2d,
        torch.nn.functional.relu,
        torch.Tensor.shape.__get__,
        torch.Tensor.add_,
        torch.linalg.svd,
        torch.fft.rfft,
        torch.special.gammaln,
        torch.stack,
        torch.Tensor.__getitem__,
        torch.Tensor.__len__,
        torch.Tensor.__rpow__,
        torch.nn.functional.softmax,
        torch.absolute,
        torch.arctan,
    ):
        print(O.resolve_name(f), f.__name__)
    print(O.resolve_name(print), O.resolve_name(my_fn))
    d = O.get_overridable_functions()
    print(
        torch in d,
        torch.Tensor in d,
        torch.nn.functional in d,
        torch.sum in d[torch],
        torch.Tensor.sum in d[torch.Tensor],
    )
    t = O.get_testing_overrides()
    print(t[torch.sum](torch.ones(1)), torch.Tensor.add in t, len(t) > 1000)
    print(
        torch.tensor in O.get_ignored_functions(),
        torch.is_tensor in O.get_ignored_functions(),
        torch.add in O.get_ignored_functions(),
    )
    x = torch.ones(1)
    P = torch.nn.Parameter(x)
    print(
        O.has_torch_function((x, P, 1, "a", None)),
        O.has_torch_function_unary(D()),
        O.has_torch_function_variadic(1, D()),
        O.has_torch_function_unary(P),
    )

    class S(torch.Tensor):
        pass

    s = x.as_subclass(S)
    print(O.has_torch_function((s,)))
    with torch._C.DisableTorchFunctionSubclass():
        print(O.has_torch_function((s,)), O.has_torch_function((D(),)), type(s + 1).__name__)

    @O.wrap_torch_function(lambda x, y: (x, y))
    def g(x, y):
        return x * y

    print(g(2, 3), g(D(), 1)[0])

    class LT(torch.Tensor):
        depth = 0

        @classmethod
        def __torch_function__(cls, func, types, args, kwargs=None):
            print("  " * cls.depth + f"Calling {func.__name__}")
            cls.depth += 1
            r = torch.overrides.redispatch_function(func, types, args, kwargs)
            cls.depth -= 1
            return r

    def scaled(a, b):
        if has_torch_function((a, b)):
            return handle_torch_function(scaled, (a, b), a, b)
        return a * b + 1

    print(scaled(LT(torch.tensor([3.0])), LT(torch.tensor([4.0]))))

    class LM(O.TorchFunctionMode):
        depth = 0

        def __torch_function__(self, func, types, args, kwargs=None):
            print("  " * self.depth + f"Calling {func.__name__}")
            self.depth += 1
            with self:
                r = torch.overrides.redispatch_function(func, types, args, kwargs)
            self.depth -= 1
            return r

    a = torch.tensor([3.0])
    b = torch.tensor([4.0])
    with LM():
        r = scaled(a, b)
    print(r)

    class Base(O.BaseTorchFunctionMode):
        pass

    with Base():
        print(torch.ones(1) + 1)
    try:
        with O.TorchFunctionMode():
            torch.ones(1)
    except NotImplementedError:
        print("nie")


def dispatch_modes():
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Count(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.n = 0
            self.names = []

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.n += 1
            self.names.append(func.__name__.split(".")[0])
            return func(*args, **kwargs or {})

    x = torch.ones(2, 2)
    with Count() as c:
        y = x + 1
        z = torch.mm(x, y)
        w = z.relu()
        v = w.sum()
        torch.exp(x)
        x.mul(2)
        x.add_(1)
    print(c.names, v.item())
    torch.ones(1) + 1
    print(c.n)

    class Scale(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **kwargs or {})
            return out * 2 if "exp" in str(func) else out

    with Scale():
        print(torch.exp(torch.zeros(1)), torch.sin(torch.zeros(1)))


modes()
overrides()
dispatch_modes()
