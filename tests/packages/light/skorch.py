"""Networks as scikit-learn's estimators: fitting, searching, pickling, saving."""

import pickle
import tempfile
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import make_classification
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import Checkpoint, EarlyStopping, EpochScoring, LRScheduler
from torch import nn

x, y = make_classification(200, 10, random_state=0)
x, y = x.astype(np.float32), y.astype(np.int64)
folder = Path(tempfile.mkdtemp())


class Net(nn.Module):
    def __init__(self, hidden=8, classes=2):
        super().__init__()
        self.hidden, self.out = nn.Linear(10, hidden), nn.Linear(hidden, classes)

    def forward(self, x):
        x = self.out(torch.relu(self.hidden(x)))
        return x.softmax(-1) if x.shape[-1] > 1 else x


torch.manual_seed(0)
callbacks = [
    EpochScoring("accuracy", name="train_accuracy", on_train=True),
    LRScheduler("StepLR", step_size=1),
    EarlyStopping(patience=3),
    Checkpoint(dirname=folder, f_criterion=None),
]
net = NeuralNetClassifier(Net, max_epochs=3, lr=0.1, iterator_train__shuffle=False, callbacks=callbacks, verbose=0)
net.fit(x, y)
print([round(loss, 4) for loss in net.history[:, "train_loss"]], round(net.score(x, y), 2))
print(net.predict_proba(x[:2]).round(4).tolist())
grid = {"lr": [0.1, 0.01], "module__hidden": [4, 8]}
print(
    GridSearchCV(NeuralNetClassifier(Net, max_epochs=2, train_split=None, verbose=0), grid, cv=2, refit=False)
    .fit(x, y)
    .best_params_
)
print((pickle.loads(pickle.dumps(net)).predict(x) == net.predict(x)).all())
before = net.predict_proba(x)
for kind in ("pt", "safetensors"):
    net.save_params(f_params=folder / f"net.{kind}", use_safetensors=kind == "safetensors")
    net.initialize().load_params(f_params=folder / f"net.{kind}", use_safetensors=kind == "safetensors")
    print(kind, (net.predict_proba(x) == before).all())
torch.manual_seed(0)
net = NeuralNetRegressor(Net, module__classes=1, max_epochs=2, optimizer=torch.optim.Adam, train_split=None, verbose=0)
print([round(loss, 4) for loss in net.fit(x, y[:, None].astype(np.float32)).history[:, "train_loss"]])
