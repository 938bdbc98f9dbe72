"""A LeNet learns scikit-learn's 1,797 handwritten digits.

Ordinary PyTorch code. Run it with `flambeau run examples/lenet_digits.py`, or with an installed PyTorch.
It leaves the weights and three pictures in a folder.
"""

import argparse
from pathlib import Path

import matplotlib
import torch
import torch.nn.functional as F
from rich.progress import Progress
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn, optim
from torch.utils.data import DataLoader, TensorDataset

matplotlib.use("Agg")
import matplotlib.pyplot as plt


class LeNet(nn.Module):
    """LeCun's LeNet-5 with ReLU and max pooling, for images of 28x28."""

    def __init__(self, classes=10):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, kernel_size=5),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(16 * 5 * 5, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, classes),
        )

    def forward(self, x):
        return self.classifier(self.features(x))


MARGIN = 4


def digits():
    """(training set, test set): the 8x8 images enlarged to 24x24, with a margin that a crop to 28x28 may shift in."""
    data = load_digits()
    images = torch.tensor(data.images / 16, dtype=torch.float32).unsqueeze(1)
    images = images.repeat_interleave(3, dim=2).repeat_interleave(3, dim=3)
    images = F.pad(images, (MARGIN, MARGIN, MARGIN, MARGIN))
    labels = torch.tensor(data.target)
    train, test = train_test_split(range(len(labels)), test_size=0.2, stratify=data.target, random_state=0)
    return TensorDataset(images[train], labels[train]), TensorDataset(images[test], labels[test])


def crop(images, top=MARGIN // 2, left=MARGIN // 2):
    """The 28x28 window at a place; in the middle unless one is given."""
    return images[..., top : top + 28, left : left + 28]


def evaluate(model, dataset):
    """The predicted classes of a data set, and the share of them that is right."""
    images, labels = dataset.tensors
    model.eval()
    with torch.no_grad():
        predicted = torch.cat([model(crop(part)).argmax(dim=1) for part in images.split(120)])
    return predicted, (predicted == labels).float().mean().item()


def train(model, training_set, test_set, epochs):
    """Adam on the cross entropy of shifted images; returns the loss and the test accuracy of every epoch."""
    loader = DataLoader(training_set, batch_size=32, shuffle=True, drop_last=True)
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
    losses, accuracies = [], []
    with Progress() as progress:
        bar = progress.add_task("training", total=epochs * len(loader))
        for epoch in range(epochs):
            model.train()
            total = 0.0
            for images, labels in loader:
                top, left = torch.randint(0, MARGIN + 1, (2,)).tolist()
                optimizer.zero_grad()
                loss = F.cross_entropy(model(crop(images, top, left)), labels)
                loss.backward()
                optimizer.step()
                total += loss.item()
                progress.advance(bar)
            scheduler.step()
            losses.append(total / len(loader))
            accuracies.append(evaluate(model, test_set)[1])
            text = f"epoch {epoch + 1}: loss {losses[-1]:.4f}, test accuracy {accuracies[-1]:.1%}"
            progress.update(bar, description=text)
    return losses, accuracies


def plot_curves(losses, accuracies, path):
    epochs = range(1, len(losses) + 1)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    left.semilogy(epochs, losses, marker=".")
    left.set(title="Training loss", xlabel="epoch", ylabel="cross entropy")
    right.plot(epochs, [100 * a for a in accuracies], marker=".", color="tab:green")
    right.set(title="Test accuracy", xlabel="epoch", ylabel="percent")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    save(figure, path)


def plot_images(images, titles, path, heading, columns=6, cmap="gray_r"):
    rows = max(1, -(-len(images) // columns))
    figure, grid = plt.subplots(
        rows, columns, figsize=(1.5 * columns, 1.8 * rows + 0.5), squeeze=False, layout="constrained"
    )
    for axes in grid.flat:
        axes.axis("off")
    for axes, image, title in zip(grid.flat, images, titles, strict=False):
        axes.imshow(image.numpy(), cmap=cmap)
        axes.set_title(title, fontsize=9)
    figure.suptitle(heading)
    save(figure, path)


def save(figure, path):
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("lenet-digits"))
    parser.add_argument("--epochs", type=int, default=15)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)

    torch.manual_seed(0)
    training_set, test_set = digits()
    model = LeNet()
    print(model)
    print(f"{len(training_set)} training images, {len(test_set)} test images")
    losses, accuracies = train(model, training_set, test_set, options.epochs)

    predicted, accuracy = evaluate(model, test_set)
    images, labels = test_set.tensors
    wrong = (predicted != labels).nonzero().flatten().tolist()
    print(f"test accuracy: {accuracy:.2%} ({len(wrong)} of {len(labels)} wrong)")

    torch.save(model.state_dict(), options.folder / "lenet.pth")
    plot_curves(losses, accuracies, options.folder / "learning-curves.png")
    titles = [f"{labels[i].item()} taken for {predicted[i].item()}" for i in wrong]
    plot_images(
        images[wrong, 0], titles, options.folder / "misclassified.png", f"The {len(wrong)} misclassified digits"
    )
    kernels = model.features[0].weight.detach()[:, 0]
    titles = [f"kernel {i}" for i in range(len(kernels))]
    plot_images(kernels, titles, options.folder / "kernels.png", "First layer's kernels", cmap="coolwarm")
    for file in sorted(options.folder.iterdir()):
        print(f"wrote {file}")


if __name__ == "__main__":
    main()
