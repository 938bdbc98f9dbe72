"""Subclasses of Tensor survive operators, copies and gradients."""


def like_tv_tensors():
    import torch
    import torch.nn.functional as F

    class Image(torch.Tensor):
        """as torchvision's tv_tensors: results are plain unless asked"""

        @classmethod
        def _wrap(cls, t):
            return t.as_subclass(cls)

        def __new__(cls, data, *, dtype=None, device=None, requires_grad=None):
            t = torch.as_tensor(data, dtype=dtype, device=device)
            if requires_grad is not None:
                t.requires_grad_(requires_grad)
            return cls._wrap(t)

        _NO = {  # noqa: RUF012
            torch.Tensor.clone,
            torch.Tensor.to,
            torch.Tensor.detach,
            torch.Tensor.requires_grad_,
            torch.Tensor.pin_memory,
        }

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            if not all(issubclass(cls, t) for t in types):
                return NotImplemented
            with torch._C.DisableTorchFunctionSubclass():
                output = func(*args, **kwargs or {})
            if func in cls._NO and isinstance(args[0], cls):
                return cls._wrap(output)
            if func.__name__.endswith("_") and isinstance(output, torch.Tensor) and isinstance(args[0], cls):
                return cls._wrap(output) if False else output.as_subclass(torch.Tensor)
            return output

        @property
        def shape(self):
            with torch._C.DisableTorchFunctionSubclass():
                return super().shape

        def __deepcopy__(self, memo):
            return self.detach().clone().requires_grad_(self.requires_grad)

        def __repr__(self):
            return self._make_repr()

        def _make_repr(self, **kw):
            return f"{super().__repr__()[:-1]}, kind=image)"

    class Boxes(Image):
        @classmethod
        def _wrap(cls, t, fmt="XYXY", canvas=(1, 1)):
            b = t.as_subclass(cls)
            b.format = fmt
            b.canvas_size = canvas
            return b

    import copy

    im = Image(torch.arange(12.0).view(1, 3, 4))
    print(
        type(im + 1).__name__,
        type(im.clone()).__name__,
        type(im.to(torch.float64)).__name__,
        im.shape,
        type(im[0]).__name__,
        type(im.detach()).__name__,
    )
    d = copy.deepcopy(im)
    print(type(d).__name__, torch.equal(d, im))
    print(im)
    b = Boxes([[0, 0, 1, 1]])
    print(b.format, b.canvas_size, type(b + 1).__name__, b)
    i2 = Image([1.0, 2.0], requires_grad=True)
    (i2 * 3).sum().backward()
    print(i2.grad)
    i2.data.add_(1)
    print(type(i2.data).__name__)
    x = Image(torch.ones(2))
    r = x.add_(1)
    print(type(r).__name__, x)
    print(
        type(torch.stack([im, im])).__name__,
        type(F.relu(im)).__name__,
        isinstance(im, torch.Tensor),
        im.dtype,
        im.ndim,
        type(im.T).__name__ if im.ndim == 2 else None,
    )
    from torch.utils.data import default_collate

    print(type(default_collate([Image([1.0]), Image([2.0])])).__name__)
    print(
        type(im.flip(-1)).__name__,
        type(torch.flip(im, [-1])).__name__,
        type(im.unsqueeze(0)).__name__,
        type(im.sum()).__name__,
    )


def methods_and_types():
    import gc
    import weakref

    import torch
    from torch import nn

    class T(torch.Tensor):
        def __init__(self, *a, **k):
            self.extra = "e"

        def hello(self):
            return self.sum().item()

    class V(T):
        @property
        def doubled(self):
            return self * 2

    t = T([1.0, 2.0])
    print(t.extra, t.hello(), type(t * 2).__name__, hasattr(t * 2, "extra"))
    v = V([1.0, 2.0])
    print(v.doubled, type(v.doubled).__name__, type(v + t).__name__, type(t + v).__name__)
    r = weakref.ref(v)
    del v
    gc.collect()
    print(r())
    x = torch.arange(6.0).view(2, 3).as_subclass(T)
    for n in """
        sum mean max argmax prod std t contiguous flatten squeeze abs exp tolist numpy size dim cumsum
        softmax unique nonzero isnan any all sort topk split chunk unbind expand_as view_as repeat tril diagonal cpu
        double half bool item new_zeros new_tensor is_contiguous stride type clone detach requires_grad_ zero_ fill_
    """.split():
        a = {
            "cumsum": (0,),
            "softmax": (0,),
            "topk": (2,),
            "split": (1,),
            "chunk": (2,),
            "expand_as": (x,),
            "view_as": (x,),
            "repeat": (1, 2),
            "new_zeros": (2,),
            "new_tensor": ([1.0],),
            "fill_": (3,),
        }.get(n, ())
        y = x.clone()
        try:
            o = getattr(y, n)(*a)
            print(n, type(o).__name__, [type(q).__name__ for q in o][:3] if isinstance(o, (tuple, list)) else "")
        except Exception as e:
            print(n, type(e).__name__, str(e)[:50])
    for n in "shape dtype device grad T mT requires_grad is_leaf ndim data real itemsize".split():
        print(n, type(getattr(x, n)).__name__)
    a, b = (torch.ones(2).as_subclass(T), torch.ones(2))
    b += a
    print(type(b).__name__)
    a += b
    print(type(a).__name__)
    b[0] = a[0]
    print(type(b).__name__, b)
    o = torch.empty(2)
    torch.add(a, 1, out=o)
    print(type(o).__name__, o)
    q = torch.empty(2).as_subclass(T)
    z = torch.add(b, 1, out=q)
    print(type(z).__name__, z is q)
    w = torch.ones(2, requires_grad=True)
    s = w.as_subclass(T)
    (s * 2).sum().backward()
    print(w.grad, type(w.grad).__name__)
    print(torch.autograd.grad((w.as_subclass(T) ** 2).sum(), w)[0].__class__.__name__)
    lin = nn.Linear(2, 2)
    out = lin(torch.ones(1, 2).as_subclass(T))
    print(type(out).__name__, out.requires_grad)
    out.sum().backward()
    print(type(lin.weight.grad).__name__)
    print(
        type(nn.CrossEntropyLoss()(torch.ones(1, 2).as_subclass(T), torch.tensor([0]))).__name__,
        type(nn.MSELoss()(a, b)).__name__,
    )
    with torch.no_grad():
        print(type(a * 2).__name__)
    print(a.as_subclass(torch.Tensor).__class__.__name__, isinstance(a, T), issubclass(T, torch.Tensor))
    print(type(torch.Tensor(a)).__name__, type(torch.tensor(a)).__name__, type(torch.as_tensor(a)).__name__)
    if a.sum() > 0:
        print("positive")
    print(f"{a.sum().item():.2f}", a.sum() == 4, [type(i).__name__ for i in torch.ones(2, 2).as_subclass(T)])
    print({a: 1}[a])
    print(torch.ones(2).as_subclass(T).eq(1).all().item())


like_tv_tensors()
methods_and_types()
