"""Summaries of networks: shapes, parameters, multiply-adds."""

import torch
from torch import nn
from torchinfo import summary

torch.manual_seed(0)
net = nn.Sequential(
    nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)
)
columns = ("input_size", "output_size", "num_params", "params_percent", "kernel_size", "mult_adds", "trainable")
print(summary(net, (1, 3, 16, 16), verbose=0, col_names=columns, row_settings=("depth", "var_names")))
print(summary(nn.LSTM(4, 8, 2), (5, 1, 4), verbose=0))
print(summary(nn.TransformerEncoderLayer(8, 2, 16), (5, 1, 8), verbose=0, depth=2))
print(summary(nn.MultiheadAttention(8, 2), input_data=[torch.ones(3, 1, 8)] * 3, verbose=0).total_params)
