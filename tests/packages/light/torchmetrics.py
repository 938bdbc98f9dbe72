"""Metrics of classes, numbers, images and texts; collections, copies, running means."""

import copy
import pickle

import torch
import torchmetrics
from torchmetrics import image, text

torch.manual_seed(0)
scores, labels = torch.randn(40, 5).softmax(-1), torch.randint(0, 5, (40,))
a, b = torch.randn(30), torch.randn(30)
classes = {"task": "multiclass", "num_classes": 5}
for name in (
    "Accuracy F1Score AUROC ConfusionMatrix AveragePrecision Precision Recall CohenKappa MatthewsCorrCoef CalibrationError JaccardIndex"
).split():
    metric = getattr(torchmetrics, name)(**classes)
    metric.update(scores, labels)
    print(name, [round(value, 5) for value in metric.compute().flatten().tolist()])
for name in "MeanSquaredError R2Score PearsonCorrCoef SpearmanCorrCoef MeanAbsoluteError ExplainedVariance KendallRankCorrCoef".split():
    print(name, round(getattr(torchmetrics, name)()(a, b).item(), 5))
one, two = torch.rand(2, 2, 3, 32, 32)
print(round(image.StructuralSimilarityIndexMeasure(data_range=1.0)(one, two).item(), 5))
print(round(image.PeakSignalNoiseRatio(data_range=1.0)(one, two).item(), 5))
print(text.BLEUScore()(["the cat is on the mat"], [["there is a cat on the mat"]]).item())
print(text.WordErrorRate()(["this is it"], ["that is it"]).item())
both = torchmetrics.MetricCollection([torchmetrics.Accuracy(**classes), torchmetrics.F1Score(**classes)])
print({name: round(value.item(), 5) for name, value in both(scores, labels).items()})
mean = torchmetrics.MeanMetric()
mean(torch.tensor([1.0, 2.0]))
print(mean(torch.tensor([5.0])), mean.compute(), mean, copy.deepcopy(mean).compute())
print(pickle.loads(pickle.dumps(mean)).compute(), sorted(mean.state_dict()))
