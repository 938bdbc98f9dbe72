"""The data: scikit-learn's 1,797 handwritten digits, 8x8 pixels each. Put your own in place of them."""

import flambeau as torch
from flambeau.utils.data import DataLoader, TensorDataset
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split


def datasets():
    """(training set, test set) of images (1, 8, 8) between 0 and 1, and labels 0 to 9; always the same split."""
    digits = load_digits()
    images = torch.tensor(digits.images / 16, dtype=torch.float32).unsqueeze(1)
    labels = torch.tensor(digits.target)
    train, test = train_test_split(range(len(labels)), test_size=0.2, stratify=digits.target, random_state=0)
    return TensorDataset(images[train], labels[train]), TensorDataset(images[test], labels[test])


def loaders(batch_size, generator):
    """(training loader, test loader). The order of the training images is drawn from the generator.

    An incomplete last batch of training images is left out (another one the next epoch): the step is compiled for
    one shape.
    """
    train, test = datasets()
    return (
        DataLoader(train, batch_size=batch_size, shuffle=True, drop_last=True, generator=generator),
        DataLoader(test, batch_size=120),
    )
