"""What a SummaryWriter writes, read again by TensorBoard itself."""

import tempfile

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.tensorboard import SummaryWriter

torch.manual_seed(0)
folder = tempfile.mkdtemp()
with SummaryWriter(folder) as writer:
    for step in range(3):
        writer.add_scalar("loss", torch.tensor(1.5) / (step + 1), step)
    writer.add_histogram("weights", torch.linspace(-1, 1, 100), 1)
    writer.add_image("picture", torch.rand(3, 8, 8), 1)
    writer.add_text("words", "hello")
    writer.add_scalars("two", {"a": 1, "b": 2}, 1)
    writer.add_hparams({"lr": 0.1}, {"accuracy": 0.9})
    writer.add_embedding(torch.randn(4, 3), metadata=list("abcd"))
    writer.add_pr_curve("curve", torch.randint(0, 2, (20,)), torch.rand(20))
    writer.add_graph(nn.Linear(3, 2), torch.ones(1, 3))
events = EventAccumulator(folder).Reload()
print({kind: names for kind, names in events.Tags().items() if names})
print([(event.step, event.value) for event in events.Scalars("loss")])
histogram = events.Tensors("weights")[0] if "weights" in events.Tags()["tensors"] else events.Histograms("weights")[0]
print(histogram.step, histogram.histogram_value.num, histogram.histogram_value.sum_squares)
picture = events.Images("picture")[0]
print(picture.width, picture.height, picture.encoded_image_string[:4])
