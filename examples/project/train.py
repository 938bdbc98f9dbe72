"""Train the network of model.py on the data of data.py.

After every epoch the folder gets a checkpoint and TensorBoard's scalars. A run that was stopped, continued with --resume,
ends with the numbers of one that was not.
"""

import argparse
import sys
from pathlib import Path

import flambeau as torch
import flambeau.nn.functional as F
from flambeau.utils.tensorboard import SummaryWriter
from rich.progress import Progress

from data import loaders
from model import Net

SEED = 0
BATCH_SIZE = 32
LEARNING_RATE = 2e-3


class Training:
    """All that a run changes, so that a checkpoint of it is a whole one."""

    def __init__(self):
        torch.manual_seed(SEED)
        self.epoch = 0  # how many are done
        self.model = Net()
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=LEARNING_RATE)
        # Not one that needs the number of epochs (as CosineAnnealingLR does): a resumed run may have a larger one.
        self.scheduler = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, gamma=0.9)
        self.generator = torch.Generator().manual_seed(SEED)  # of the order of the images

    def state_dict(self):
        return {
            "epoch": self.epoch,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "generator": self.generator.get_state(),
            "default_generator": torch.get_rng_state(),  # of Dropout
        }

    def load_state_dict(self, state):
        self.epoch = state["epoch"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scheduler.load_state_dict(state["scheduler"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["default_generator"])


def compiled(model, optimizer):
    """(step, predict): one training step and the logits of a batch, each as one compiled program."""

    @torch.compile
    def step(images, labels):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    @torch.compile
    def predict(images):
        with torch.no_grad():
            return model(images)

    return step, predict


def train_epoch(model, step, loader, advance):
    """One pass over the training images; returns the mean loss."""
    model.train()
    losses = []
    for images, labels in loader:
        losses.append(step(images, labels))
        advance()
    return torch.stack(losses).mean().item()


def evaluate(model, predict, loader):
    """(mean loss, share that is right) on the test images."""
    model.eval()
    loss, right, count = 0.0, 0, 0
    for images, labels in loader:
        logits = predict(images)
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
        right += (logits.argmax(dim=1) == labels).sum().item()
        count += len(labels)
    return loss / count, right / count


def train(training, epochs, folder):
    """Train until so many epochs are done, with a line, scalars and a checkpoint after each."""
    train_loader, test_loader = loaders(BATCH_SIZE, training.generator)
    step, predict = compiled(training.model, training.optimizer)
    steps = len(train_loader)
    # What a stopped run logged after its last checkpoint is logged anew.
    writer = SummaryWriter(folder, purge_step=training.epoch + 1)
    with writer, Progress() as progress:
        bar = progress.add_task("training", total=epochs * steps, completed=training.epoch * steps)
        while training.epoch < epochs:
            scalars = {"learning rate": training.scheduler.get_last_lr()[0]}
            scalars["loss/training"] = train_epoch(training.model, step, train_loader, lambda: progress.advance(bar))
            scalars["loss/test"], scalars["accuracy/test"] = evaluate(training.model, predict, test_loader)
            training.scheduler.step()
            training.epoch += 1
            for name, value in scalars.items():
                writer.add_scalar(name, value, training.epoch)
            writer.flush()
            # Atomic: the file is written beside and renamed, so one that was whole is never lost.
            torch.save(training.state_dict(), folder / "checkpoint.pth")
            progress.console.print(
                f"epoch {training.epoch}: training loss {scalars['loss/training']:.4f}, "
                f"test loss {scalars['loss/test']:.4f}, test accuracy {scalars['accuracy/test']:.2%}",
                highlight=False,
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=10, help="how many, those of the resumed run included (10)")
    parser.add_argument("--folder", type=Path, default=Path("run"), help="of the checkpoint and the scalars (run)")
    parser.add_argument("--resume", action="store_true", help="continue from the folder's checkpoint")
    options = parser.parse_args()

    checkpoint = options.folder / "checkpoint.pth"
    training = Training()
    if options.resume:
        if not checkpoint.exists():
            sys.exit(f"there is no {checkpoint} to resume from")
        training.load_state_dict(torch.load(checkpoint))
        print(f"resumed after epoch {training.epoch}")
    elif checkpoint.exists():
        sys.exit(f"{checkpoint} is there already: continue it with --resume, or give another --folder")
    if training.epoch >= options.epochs:
        sys.exit(f"nothing to do: {training.epoch} epochs are done; ask for more with --epochs")
    options.folder.mkdir(parents=True, exist_ok=True)
    try:
        train(training, options.epochs, options.folder)
    except KeyboardInterrupt:
        sys.exit("stopped; continue with --resume" if checkpoint.exists() else "stopped")
    print(f"wrote {checkpoint}")


if __name__ == "__main__":
    main()
