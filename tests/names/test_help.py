"""help() of a public function names its arguments, and says where PyTorch describes it."""

import inspect

import flambeau
from flambeau import nn, optim
from flambeau.core.dispatch.operator import namespaces

# of machinery that nobody calls by hand
LEFT = {"args", "kwargs", "options", "sym"}


def test_functions_name_their_arguments() -> None:
    lacking = []
    for namespace, held in namespaces.items():
        for name, function in held.items():
            text = inspect.getdoc(function) or ""
            if name.startswith("_") or not inspect.isfunction(function):
                continue
            assert "https://docs.pytorch.org/docs/stable/generated/torch." in text, (namespace, name)
            parameters = inspect.signature(function).parameters.values()
            names = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
            lacking += [f"{name}: {n}" for n in names if n not in text and n not in LEFT and not n.startswith("_")]
    assert not lacking


def test_classes_name_their_arguments() -> None:
    lacking = []
    for namespace in (nn, optim, optim.lr_scheduler):
        for name, cls in vars(namespace).items():
            if (
                not inspect.isclass(cls)
                or name.startswith("_")
                or name in ("Buffer", "Parameter")
                or "__init__" not in vars(cls)
            ):
                continue
            text, code = inspect.getdoc(cls) or "", inspect.unwrap(cls.__init__).__code__
            names = code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
            lacking += [f"{name}: {n}" for n in names if n not in text]
    assert not lacking
    assert (
        "    in_channels: the input's channels.\n" in nn.Conv2d.__doc__ and "torch.nn.Conv2d.html" in nn.Conv2d.__doc__
    )


def test_a_name_that_means_something_else_here() -> None:
    assert "    end: what is come to where the weight is 1." in flambeau.lerp.__doc__
    assert "    n: the degree." in flambeau.special.hermite_polynomial_he.__doc__
    assert list(inspect.signature(flambeau.permute).parameters) == ["input", "dims"]
    assert "    input: the tensor to compute with." in flambeau.permute.__doc__


def test_methods_and_texts() -> None:
    assert inspect.getdoc(flambeau.add) == (
        "`input + alpha * other`, with broadcasting.\n\nArguments:\n    input: the tensor to compute with.\n"
        "    other: the second operand; a tensor, or a number.\n    alpha: a factor of the last summand.\n\n"
        "PyTorch: https://docs.pytorch.org/docs/stable/generated/torch.add.html"
    )
    assert "torch.Tensor.add.html" in flambeau.Tensor.add.__doc__
    assert list(inspect.signature(flambeau.add).parameters) == ["input", "other", "alpha"]
