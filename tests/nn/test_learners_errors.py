"""Programs of beginners that fail: torch's error and its whole text, what stands around it, and what would help."""

from __future__ import annotations

import warnings

import pytest

import flambeau as fb
import flambeau.nn
import flambeau.optim
from support.programs import Programs, agree

PROGRAMS = program = Programs()


def F(t):
    return t.nn.functional


@program
def view(t):
    return t.ones(4, 6).view(5, -1)


@program
def view2(t):
    return t.ones(4, 6).view(-1, 784)


@program
def view_nc(t):
    return t.ones(4, 6).t().view(24)


@program
def view_perm(t):
    return t.ones(2, 3, 4).permute(0, 2, 1).view(2, -1)


@program
def reshape(t):
    return t.ones(4, 6).reshape(7, 3)


@program
def flatten(t):
    return t.flatten(t.ones(4), 1)


@program
def matmul(t):
    return t.ones(3, 4) @ t.ones(3, 4)


@program
def matmul1(t):
    return t.ones(3, 4) @ t.ones(3)


@program
def matmul3(t):
    return t.ones(2, 3, 4) @ t.ones(3, 4, 5)


@program
def bmm(t):
    return t.bmm(t.ones(2, 3, 4), t.ones(2, 3, 4))


@program
def bmm2(t):
    return t.bmm(t.ones(3, 4), t.ones(4, 5))


@program
def mm_dtype(t):
    return t.ones(3, 4) @ t.ones(4, 3).double()


@program
def add(t):
    return t.ones(3, 4) + t.ones(3, 5)


@program
def cat(t):
    return t.cat([t.ones(2, 3), t.ones(2, 4)])


@program
def cat2(t):
    return t.cat([t.ones(2, 3, 4), t.ones(2, 4)], 1)


@program
def stack(t):
    return t.stack([t.ones(2), t.ones(3)])


@program
def backward_vec(t):
    t.ones(3, requires_grad=True).mul(2).backward()


@program
def backward_none(t):
    t.ones(3).sum().backward()


@program
def backward_twice(t):
    y = t.ones(3, requires_grad=True).pow(2).sum()
    y.backward()
    y.backward()


@program
def inplace_leaf(t):
    x = t.ones(3, requires_grad=True)
    x += 1


@program
def numpy_grad(t):
    t.ones(3, requires_grad=True).numpy()


@program
def item(t):
    t.ones(3).item()


@program
def bool_(t):
    bool(t.ones(3) > 0)


@program
def opt_empty(t):
    t.optim.SGD([], 0.1)


@program
def opt_gen(t):
    t.optim.SGD(t.nn.ReLU().parameters(), 0.1)


@program
def opt_list(t):
    class N(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [t.nn.Linear(2, 2) for _ in range(2)]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        t.optim.Adam(N().parameters())


@program
def opt_plist(t):
    class N(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.ws = [t.nn.Parameter(t.ones(2))]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        t.optim.Adam(N().parameters())


@program
def opt_tensor(t):
    t.optim.SGD(t.ones(3, requires_grad=True), 0.1)


@program
def opt_module(t):
    t.optim.SGD(t.nn.Linear(2, 2), 0.1)


@program
def opt_nonleaf(t):
    t.optim.SGD([t.ones(3, requires_grad=True) * 2], 0.1)


@program
def opt_named(t):
    t.optim.SGD([("a", 3)], 0.1)


@program
def no_super(t):
    class N(t.nn.Module):
        def __init__(self):
            self.l = t.nn.Linear(2, 2)

    N()


@program
def no_super_p(t):
    class N(t.nn.Module):
        def __init__(self):
            self.w = t.nn.Parameter(t.ones(2))

    N()


@program
def no_super_b(t):
    class N(t.nn.Module):
        def __init__(self):
            self.register_buffer("b", t.ones(2))

    N()


@program
def no_super_call(t):
    class N(t.nn.Module):
        def __init__(self):
            self.k = 3

        def forward(self, x):
            return x

    N()(t.ones(1))


@program
def no_super_params(t):
    class N(t.nn.Module):
        def __init__(self):
            self.k = 3

    list(N().parameters())


@program
def no_super_train(t):
    class N(t.nn.Module):
        def __init__(self):
            self.k = 3

    N().train()


@program
def no_super_repr(t):
    class N(t.nn.Module):
        def __init__(self):
            self.k = 3

    repr(N())


@program
def no_super_to(t):
    class N(t.nn.Module):
        def __init__(self):
            self.k = 3

    N().to("cpu")


@program
def no_super_sd(t):
    class N(t.nn.Module):
        def __init__(self):
            self.k = 3

    N().state_dict()


@program
def super_typo(t):
    class N(t.nn.Module):
        def __init__(self):
            super().__init__  # noqa: B018
            self.l = t.nn.Linear(2, 2)

    N()


@program
def no_forward(t):
    class N(t.nn.Module):
        pass

    N()(t.ones(1))


@program
def forward_typo(t):
    class N(t.nn.Module):
        def foward(self, x):
            return x

    N()(t.ones(1))


@program
def no_attr(t):
    class N(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = t.nn.Linear(2, 2)

        def forward(self, x):
            return self.fc2(x)

    N()(t.ones(1, 2))


@program
def forward_none(t):
    class N(t.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1 = t.nn.Linear(2, 2)

        def forward(self, x):
            self.fc1(x)

    F(t).cross_entropy(N()(t.ones(1, 2)), t.tensor([0]))


@program
def module_class(t):
    return t.nn.Sequential(t.nn.Linear(2, 2), t.nn.ReLU)(t.ones(1, 2))


@program
def relu_call(t):
    return t.nn.ReLU(t.ones(2))


@program
def relu_call2(t):
    return t.nn.ReLU(t.ones(2)) + 1


@program
def softmax_call(t):
    return t.nn.Softmax(t.ones(2)).sum()


@program
def seq_list(t):
    return t.nn.Sequential([t.nn.Linear(2, 2), t.nn.ReLU()])


@program
def mlist_call(t):
    return t.nn.ModuleList([t.nn.Linear(2, 2)])(t.ones(1, 2))


@program
def mdict_call(t):
    return t.nn.ModuleDict({"a": t.nn.Linear(2, 2)})(t.ones(1, 2))


@program
def mlist_tensor(t):
    return t.nn.ModuleList([t.ones(2)])


@program
def lin_float_size(t):
    return t.nn.Linear(10 / 2, 3)


@program
def lin_str(t):
    return t.nn.Linear("3", 3)


@program
def pool_small(t):
    return t.nn.MaxPool2d(4)(t.ones(1, 1, 2, 2))


@program
def avgpool(t):
    return t.nn.AvgPool2d(4)(t.ones(1, 1, 2, 2))


@program
def pool_2d(t):
    return t.nn.MaxPool2d(2)(t.ones(4, 4))


@program
def argmax_ce(t):
    out = t.ones(3, 4, requires_grad=True).argmax(1)
    t.nn.CrossEntropyLoss()(out.float(), t.tensor([1, 2, 3])).backward()


@program
def loss_item(t):
    t.ones(1, requires_grad=True).sum().item().backward()


@program
def detach_back(t):
    t.ones(1, requires_grad=True).sum().detach().backward()


@program
def nograd_back(t):
    with t.no_grad():
        l = t.ones(1, requires_grad=True).sum()
    l.backward()


@program
def req_int(t):
    t.tensor([1, 2], requires_grad=True)


@program
def param_int(t):
    t.nn.Parameter(t.tensor([1, 2]))


@program
def param_list(t):
    t.nn.Parameter([1.0, 2])


@program
def assign_param(t):
    m = t.nn.Linear(2, 2)
    m.weight = t.ones(2, 2)


@program
def device(t):
    t.ones(2, device="cuda:99")


@program
def to_int(t):
    t.nn.Linear(2, 2).to(t.int64)


@program
def load_file(t):
    t.load("/nonexistent.pt")


@program
def load_module(t):
    t.nn.Linear(2, 2).load_state_dict(t.nn.Linear(2, 2))


@program
def load_str(t):
    t.nn.Linear(2, 2).load_state_dict("model.pt")


@program
def index(t):
    t.ones(3)[5]


@program
def index2(t):
    t.ones(3, 4)[:, 7]


@program
def index_float(t):
    t.ones(3)[1.0]


@program
def gather(t):
    t.ones(3, 2).gather(1, t.tensor([[5]]))


@program
def one_hot(t):
    F(t).one_hot(t.tensor([0, 5]), 3)


@program
def one_hot_f(t):
    F(t).one_hot(t.tensor([0.0, 2.0]), 3)


@program
def softmax_dim(t):
    t.softmax(t.ones(3), 1)


@program
def dropout_p(t):
    t.nn.Dropout(2)


@program
def lr(t):
    t.optim.SGD([t.ones(1, requires_grad=True)], lr=-1)


@program
def no_lr(t):
    return str(t.optim.SGD([t.ones(1, requires_grad=True)]))


@pytest.mark.parametrize("name", PROGRAMS)
def test_errors(name):
    code = PROGRAMS[name]
    assert not isinstance(agree(code, words=None), NameError)


def test_an_optimizer_tells_of_parameters_that_it_does_not_get():
    class Net(fb.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [fb.nn.Linear(2, 2)]
            self.out = fb.nn.Linear(2, 1)

    text = r"the optimizer does not get all parameters: the model holds `layers` in a plain container.*nn\.ModuleList"
    for optimizer in (fb.optim.SGD, fb.optim.Adam, fb.optim.AdamW):  # constructors of one floor, two and three
        with pytest.warns(UserWarning, match=text) as caught:
            optimizer(Net().parameters(), 0.1)
        assert len(caught) == 1 and caught[0].filename == __file__
    with pytest.raises(ValueError, match=r"empty parameter list: the model holds `ws` .*nn\.ParameterDict"):
        model = fb.nn.Module()
        model.ws = {"a": fb.nn.Parameter(fb.ones(1))}
        fb.optim.Adam(model.parameters())


@pytest.mark.filterwarnings("error")
def test_containers_whose_modules_are_known_draw_no_warning():
    class Net(fb.nn.Module):
        def __init__(self):
            super().__init__()
            layers = self.layers = [fb.nn.Linear(2, 2)]
            self.net = fb.nn.Sequential(*layers)
            self.frozen = [fb.nn.Linear(2, 2).requires_grad_(False)]
            self.sizes = [1, 2]

    fb.optim.SGD(Net().parameters(), 0.1)
    fb.optim.SGD(filter(lambda p: p.requires_grad, Net().parameters()), 0.1)


def test_what_is_meant():
    for name, text in {
        "forward_typo": "is `foward` meant?",
        "module_class": "this is the class, ReLU(...) makes a module",
        "seq_list": "unpack it (*layers)",
        "no_super": "call super().__init__() first in N.__init__",
        "no_super_call": "call super().__init__() first in N.__init__",
        "param_list": "write Parameter(torch.tensor(...))",
    }.items():
        with pytest.raises(Exception) as caught:
            PROGRAMS[name](fb)
        assert text in str(caught.value)


MEANT = {  # a mistake, and the cure that stands in the error or beside it
    "give its first entry, x[0]": lambda t: t.nn.Sequential(t.nn.LSTM(8, 16), t.nn.Linear(16, 2))(t.ones(5, 2, 8)),
    "target.float()": lambda t: t.nn.CrossEntropyLoss()(t.ones(4, 3), t.ones(4, 3).long()),
    "x.movedim(-1, 1) is [2, 5, 7]": lambda t: t.nn.CrossEntropyLoss()(t.ones(2, 7, 5), t.zeros(2, 7).long()),
    "model.parameters()": lambda t: t.optim.SGD(t.nn.Linear(2, 2), lr=0.1),
}


@pytest.mark.parametrize("cure", MEANT)
def test_cures(cure):
    error = agree(MEANT[cure], words=None)
    assert cure in "\n".join([str(error), *getattr(error, "__notes__", ())])


def test_no_cure_where_none_is_known():
    """The batch stands elsewhere in this loss's input; a list of tensors in a list is no tensor."""
    text = ""
    for code in (
        lambda t: t.nn.CTCLoss()(t.zeros(5, 2, 4), t.ones(2, 3).long(), t.tensor([5, 6]), t.tensor([3, 3])),
        lambda t: t.nn.Linear(2, 2)([[t.ones(2)]]),
    ):
        text += "\n".join([str(error := agree(code, words=None)), *getattr(error, "__notes__", ())])
    assert "batch sizes differ" not in text and "torch.tensor(x)" not in text


def test_a_container_is_iterable():
    """Parameters in a list that is a module are taken, as PyTorch takes them."""
    optimizer = fb.optim.SGD(fb.nn.ParameterList([fb.ones(2)]), lr=0.1)
    assert len(optimizer.param_groups[0]["params"]) == 1
