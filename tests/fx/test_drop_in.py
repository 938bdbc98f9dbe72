"""`torch.fx` where `torch` means flambeau: names, files, modules that are written to a folder."""

from support.process import run_code


def test_under_the_drop_in(tmp_path):
    run_code(
        f"""
        import pickle
        import sys
        import warnings
        from flambeau import drop_in
        drop_in.install()
        import torch
        import torch.fx
        from torch import fx, nn
        from torch.fx import GraphModule, Tracer
        from torch.fx.graph_module import _copy_attr
        from torch.fx.node import map_arg
        from torch.fx.passes.shape_prop import ShapeProp
        import torch.nn.functional as F

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.net = nn.Sequential(nn.Linear(3, 3), nn.ReLU())

            def forward(self, x: torch.Tensor):
                return F.gelu(self.net(x)).to(torch.float64)

        gm = fx.symbolic_trace(Net())
        assert "def forward(self, x : torch.Tensor):" in gm.code
        assert "gelu = torch._C._nn.gelu(net_1)" in gm.code
        assert 'getattr(self.net, "0")(x)' in gm.code
        assert str(type(gm).__mro__[1]) == "<class 'torch.fx.graph_module.GraphModule'>"
        x = torch.ones(2, 3)
        data = pickle.dumps(gm)
        assert torch.equal(pickle.loads(data)(x), gm(x))
        torch.save(gm, {str(tmp_path / "gm.pt")!r})
        warnings.simplefilter("ignore")  # one child goes into a file
        gm.to_folder({str(tmp_path / "folder_of_fx")!r}, "Written")
        sys.path.insert(0, {str(tmp_path)!r})
        import folder_of_fx
        assert torch.equal(folder_of_fx.Written()(x), gm(x))
        drop_in.uninstall()
        import flambeau
        again = flambeau.load({str(tmp_path / "gm.pt")!r}, weights_only=False)
        assert again.code == gm.code and flambeau.equal(again(x), gm(x))
        """
    )
