"""fit, validate, predict, a checkpoint, going on from it, early stopping, a logger for TensorBoard, two processes."""

import contextlib
import io
import tempfile
import warnings
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

warnings.simplefilter("ignore")


class Net(L.LightningModule):
    def __init__(self, hidden=16):
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(8, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def training_step(self, batch, index):
        loss = F.mse_loss(self.net(batch[0]), batch[1])
        self.log("loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch, index):
        self.log("val", F.mse_loss(self.net(batch[0]), batch[1]))

    def predict_step(self, batch, index):
        return self.net(batch[0])

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=1e-2)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1)]


def trainer(folder, **options):
    settings = {
        "accelerator": "cpu",
        "devices": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "log_every_n_steps": 1,
    }
    return L.Trainer(**{**settings, "default_root_dir": folder, **options})


def rounded(metrics):
    return {name: round(value.item(), 4) for name, value in sorted(metrics.items())}


if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp())
    L.seed_everything(0)
    x = torch.randn(64, 8)
    loader = DataLoader(TensorDataset(x, x.sum(1, keepdim=True)), 16)
    net = Net()
    kept = ModelCheckpoint(folder / "kept", monitor="val", save_top_k=1, save_last=True)
    callbacks = [kept, EarlyStopping("val", patience=2), LearningRateMonitor()]
    first = trainer(
        folder, max_epochs=2, callbacks=callbacks, logger=TensorBoardLogger(folder / "logs"), gradient_clip_val=1.0
    )
    first.fit(net, loader, loader)
    print(
        rounded(first.callback_metrics), Path(kept.best_model_path).name, len(list((folder / "logs").rglob("events*")))
    )
    again = Net.load_from_checkpoint(kept.last_model_path, weights_only=False)
    print(torch.equal(net.net[0].weight, again.net[0].weight), again.hparams)
    with contextlib.redirect_stdout(io.StringIO()):
        checked = first.validate(net, loader, verbose=False)
    print({name: round(value, 4) for name, value in checked[0].items()}, len(first.predict(net, loader)))
    second = trainer(folder, max_epochs=3, logger=False)
    second.fit(again, loader, loader, ckpt_path=kept.last_model_path, weights_only=False)
    print(second.current_epoch, second.global_step, rounded(second.callback_metrics))
    L.seed_everything(0)
    pair = trainer(folder, max_epochs=1, devices=2, strategy="ddp_spawn", logger=False, enable_checkpointing=False)
    pair.fit(Net(), loader, loader)
    print(pair.world_size, rounded(pair.callback_metrics))
