"""`import torch` as flambeau, in processes that have not imported the real one."""

from support.process import run_code


def test_names_are_flambeaus_own():
    run_code(
        """
        import sys
        import flambeau
        assert "torch" not in sys.modules
        from flambeau import drop_in
        assert not drop_in.is_installed()
        drop_in.install()
        drop_in.install()

        import torch
        import torch.nn as nn
        import torch.utils.data
        from torch import Tensor, nn as again
        from torch.nn import functional as F
        from torch.nn.modules.utils import _pair
        from torch.utils.data import DataLoader, Dataset
        import torch.optim.lr_scheduler
        import torchvision
        import torchvision.transforms as T
        from torchvision.models import resnet18

        assert torch is flambeau and nn is again is flambeau.nn and F is flambeau.nn.functional
        import torch.nn.functional
        assert sys.modules["torch.nn.functional"] is sys.modules["flambeau.nn.functional"] is F
        assert _pair(3) == (3, 3)
        assert torchvision is flambeau.vision and T is flambeau.vision.transforms
        import pickle, math
        assert torch.math is math and torch.serialization.pickle is pickle and F.math is math  # as they are PyTorch's by its imports
        assert not hasattr(torch, "json") and not hasattr(nn, "secrets")
        assert torch.__spec__.name == "flambeau" and nn.__spec__.name == "flambeau.nn"

        once = [m for m in sys.modules.values() if getattr(m, "__file__", None) == nn.__file__]
        assert len(set(map(id, once))) == 1

        assert str(torch.nn.Parameter) == "<class 'torch.nn.parameter.Parameter'>"
        assert str(torch.Tensor) == "<class 'torch.Tensor'>"
        assert str(nn.Linear) == "<class 'torch.nn.modules.linear.Linear'>"
        assert str(torch.Size) == "<class 'torch.Size'>"
        assert str(torch.dtype) == "<class 'torch.dtype'>"
        assert str(DataLoader) == "<class 'torch.utils.data.dataloader.DataLoader'>"
        assert str(torch.optim.SGD) == "<class 'torch.optim.sgd.SGD'>"
        assert str(torchvision.models.AlexNet) == "<class 'torchvision.models.alexnet.AlexNet'>"

        from torch.nn.utils.weight_norm import WeightNorm  # a module under the name of a function
        assert torch.nn.utils.weight_norm is flambeau.nn.utils.weight_norm and callable(torch.nn.utils.weight_norm)
        assert str(WeightNorm) == "<class 'torch.nn.utils.weight_norm.WeightNorm'>"

        layer = pickle.loads(pickle.dumps(nn.Linear(2, 3)))
        assert type(layer) is nn.Linear

        drop_in.uninstall()
        drop_in.uninstall()
        assert not [m for m in sys.modules if m.split(".")[0] in ("torch", "torchvision")]
        assert str(flambeau.Tensor) == "<class 'flambeau.core.tensor.tensor.Tensor'>"
        assert str(nn.Linear) == "<class 'flambeau.nn.modules.linear.Linear'>"
        try:
            flambeau.no_such_name
        except AttributeError as error:
            assert "is not in flambeau yet" not in str(error)
        drop_in.install()
        import torch
        assert torch is flambeau
        """
    )


def test_what_is_missing_says_so():
    done = run_code(
        """
        import sys
        from flambeau import drop_in
        drop_in.install()
        import torch
        from torch import nn

        def tell(code):
            try:
                exec(code)
            except Exception as error:
                print(f"{type(error).__name__}: {error}")
            else:
                print("no error")

        tell("torch.zeros_lik")
        tell("from torch import zeros_lik")
        tell("import torch.zeros_lik")
        tell("nn.Lineer")
        tell("from torch.nn import Lineer")
        tell("from torch.nn.modules.linear import Lineer")
        tell("import torch.nn.modules.lineer")
        tell("torch.xyzzy")
        tell("torch.__xyzzy__")
        tell("torch.cross_entropy")
        tell("import torchvision.datasets")
        tell("from torchvision import datasets")
        drop_in._nearest = None  # asking for a name searches for no other
        assert not hasattr(torch, "zeros_li") and not hasattr(nn, "Liner")
        assert getattr(torch, "zeros_li", 3) == 3
        try:
            import torch.nn.quantized
        except ModuleNotFoundError as error:
            assert error.name == "torch.nn.quantized"
        for name in ("torch", "torch.nn", "torch.nn.modules.linear"):  # as who looks for plugins imports
            assert __import__(name, fromlist=[""]) is __import__(name, fromlist=["nothing"]) is sys.modules[name]
        """
    )
    zeros = "torch.zeros_lik is not in flambeau yet; nearest: torch.zeros_like"
    datasets = (
        "torchvision.datasets is not in flambeau yet; the real torchvision has it and runs on flambeau: "
        "`pip install --no-deps torchvision`"
    )
    lineer = "torch.nn.Lineer is not in flambeau yet; nearest: torch.nn.Linear"
    assert done.stdout.splitlines() == [
        "AttributeError: " + zeros,
        "ModuleNotFoundError: " + zeros,
        "ModuleNotFoundError: " + zeros,
        "AttributeError: " + lineer,
        "ModuleNotFoundError: " + lineer,
        "ModuleNotFoundError: torch.nn.modules.linear.Lineer is not in flambeau yet; "
        "nearest: torch.nn.modules.linear.Linear",
        "ModuleNotFoundError: torch.nn.modules.lineer is not in flambeau yet; nearest: torch.nn.modules.linear",
        "AttributeError: torch.xyzzy is not in flambeau yet",
        "AttributeError: module 'torch' has no attribute '__xyzzy__'",
        "AttributeError: torch.cross_entropy is not in flambeau yet; nearest: torch.nn.functional.cross_entropy",
        "ModuleNotFoundError: " + datasets,
        "ModuleNotFoundError: " + datasets,
    ]


def test_the_real_torch_was_faster():
    done = run_code(
        """
        import sys, types
        sys.modules["torch"] = real = types.ModuleType("torch")
        real.__file__ = "/somewhere/torch/__init__.py"
        from flambeau import drop_in
        try:
            drop_in.install()
        except RuntimeError as error:
            print(error)
        assert not drop_in.is_installed() and sys.modules["torch"] is real
        """
    )
    assert done.stdout.startswith("the real torch is already imported (/somewhere/torch/__init__.py)")
    assert "flambeau run script.py" in done.stdout


def test_importing_flambeau_is_light():
    run_code(
        """
        import sys
        import flambeau
        heavy = {"torch", "torchvision", "typer", "rich", "matplotlib", "sklearn", "PIL", "scipy.stats"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        """
    )


def test_modules_are_torchs_to_tools_that_ask():
    done = run_code(
        """
        import flambeau.drop_in
        flambeau.drop_in.install()
        import importlib, inspect, sys, typing
        import torch
        from torch import nn

        assert torch.__name__ == "torch" and nn.functional.__name__ == "torch.nn.functional"
        assert torch.utils.checkpoint is sys.modules["torch.utils.checkpoint"]
        assert torch.utils.hooks.RemovableHandle.__module__ == "torch.utils.hooks"
        for module, names in {
            "torch.optim.lr_scheduler": "StepLR LRScheduler OneCycleLR",
            "torch.distributions.transforms": "ExpTransform Transform",
            "torch.autograd.function": "Function",
        }.items():
            home = importlib.import_module(module)
            assert {getattr(home, name).__module__ for name in names.split()} == {module}
        for kind in (nn.Module, nn.Linear, nn.Parameter, torch.Tensor, torch.optim.Optimizer, torch.optim.Adam):
            typing.get_type_hints(kind)
        assert "class Linear(" in inspect.getsource(nn.Linear)
        assert typing.get_type_hints(nn.Linear)["in_features"] is int
        assert {name for name in sys.modules if name.startswith("torch.nn.")} >= {"torch.nn.modules.linear"}
        import logging
        flambeau.drop_in.uninstall()
        print(flambeau.__name__, flambeau.nn.__name__, [n for n in sys.modules if n.startswith("torch.")])
        """
    )
    assert done.stdout.splitlines() == ["flambeau flambeau.nn []"]


def test_a_failed_layer_says_what_would_fit():
    run_code(
        """
        from flambeau import drop_in
        drop_in.install()
        import torch
        from torch import nn

        try:
            nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(3, 2))(torch.ones(1, 1, 8, 8))
        except RuntimeError as error:
            assert "(1x72 and 3x2) (in_features should be 72)" in str(error)
            assert "0 (Conv2d)  [1, 2, 6, 6]" in error.__notes__[-1]
        else:
            raise AssertionError
        """
    )
