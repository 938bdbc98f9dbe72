"""What `%load_ext flambeau` and `%unload_ext flambeau` call, in a process without torch."""

from support.process import run_code


def test_the_extension_turns_the_drop_in_on_and_off():
    done = run_code("""
        import importlib, sys

        flambeau = importlib.import_module("flambeau")  # as IPython's extension manager looks for it
        assert "torch" not in sys.modules
        flambeau.load_ipython_extension(None)
        flambeau.load_ipython_extension(None)
        import torch
        from torch import nn

        print(torch is flambeau, torch.__name__, nn.Linear.__module__, nn.Linear(2, 3)._repr_html_() is not None)
        flambeau.unload_ipython_extension(None)
        print("torch" in sys.modules, nn.Linear.__module__)
    """)
    assert done.stdout.splitlines() == ["True torch torch.nn.modules.linear True", "False flambeau.nn.modules.linear"]
