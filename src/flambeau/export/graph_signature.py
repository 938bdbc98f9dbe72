"""`torch.export.graph_signature`: what the inputs and outputs of an exported graph are."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

__all__ = [
    "ConstantArgument",
    "CustomObjArgument",
    "ExportBackwardSignature",
    "ExportGraphSignature",
    "InputKind",
    "InputSpec",
    "OutputKind",
    "OutputSpec",
    "SymBoolArgument",
    "SymFloatArgument",
    "SymIntArgument",
    "TensorArgument",
]


class InputKind(enum.Enum):
    """What an input is."""

    USER_INPUT = enum.auto()
    PARAMETER = enum.auto()
    BUFFER = enum.auto()
    CONSTANT_TENSOR = enum.auto()
    CUSTOM_OBJ = enum.auto()
    TOKEN = enum.auto()


class OutputKind(enum.Enum):
    """What an output is."""

    USER_OUTPUT = enum.auto()
    LOSS_OUTPUT = enum.auto()
    BUFFER_MUTATION = enum.auto()
    PARAMETER_MUTATION = enum.auto()
    GRADIENT_TO_PARAMETER = enum.auto()
    GRADIENT_TO_USER_INPUT = enum.auto()
    USER_INPUT_MUTATION = enum.auto()
    TOKEN = enum.auto()


@dataclasses.dataclass
class TensorArgument:
    """A tensor, by the name of its node."""

    name: str


@dataclasses.dataclass
class ConstantArgument:
    """A value that is no tensor."""

    name: str
    value: Any


@dataclasses.dataclass
class InputSpec:
    """One input."""

    kind: InputKind
    arg: Any
    target: str | None
    persistent: bool | None = None

    def __str__(self) -> str:
        target = f" target='{self.target}'" if self.target is not None else ""
        persistent = f" persistent={self.persistent}" if self.persistent is not None else ""
        return f"{self.arg.name}: {self.kind.name}{target}{persistent}"


@dataclasses.dataclass
class OutputSpec:
    """One output."""

    kind: OutputKind
    arg: Any
    target: str | None = None

    def __str__(self) -> str:
        target = f" target='{self.target}'" if self.target is not None else ""
        return f"{self.arg.name}: {self.kind.name}{target}"


@dataclasses.dataclass
class ExportBackwardSignature:
    """What the outputs of a graph that holds a backward pass are: no such graph is made here."""

    gradients_to_parameters: dict[str, str]
    gradients_to_user_inputs: dict[str, str]
    loss_output: str


@dataclasses.dataclass
class ExportGraphSignature:
    """All inputs and outputs. Parameters and buffers are inputs in name only: the graph gets them from the module."""

    input_specs: list[InputSpec]
    output_specs: list[OutputSpec]

    def _targets(self, kind: InputKind) -> tuple[str, ...]:
        return tuple(s.target for s in self.input_specs if s.kind is kind and s.target is not None)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return self._targets(InputKind.PARAMETER)

    @property
    def buffers(self) -> tuple[str, ...]:
        """Names of the buffers."""
        return self._targets(InputKind.BUFFER)

    @property
    def lifted_tensor_constants(self) -> tuple[str, ...]:
        """Names of the constants."""
        return self._targets(InputKind.CONSTANT_TENSOR)

    @property
    def non_persistent_buffers(self) -> tuple[str, ...]:
        """Names of the buffers that are not in `state_dict`."""
        return tuple(s.target for s in self.input_specs if s.persistent is False and s.target is not None)

    @property
    def user_inputs(self) -> tuple[Any, ...]:
        """Names of the tensors that a call gives, and the other values of the example."""
        given = [s.arg for s in self.input_specs if s.kind is InputKind.USER_INPUT]
        return tuple(a.value if isinstance(a, ConstantArgument) else a.name for a in given)

    @property
    def user_outputs(self) -> tuple[Any, ...]:
        """Names of the tensors that a call returns."""
        given = [s.arg for s in self.output_specs if s.kind is OutputKind.USER_OUTPUT]
        return tuple(a.value if isinstance(a, ConstantArgument) else a.name for a in given)

    @property
    def inputs_to_parameters(self) -> dict[str, str]:
        """Which parameter an input is."""
        return {
            s.arg.name: s.target for s in self.input_specs if s.kind is InputKind.PARAMETER and s.target is not None
        }

    @property
    def inputs_to_buffers(self) -> dict[str, str]:
        """Which buffer an input is."""
        return {s.arg.name: s.target for s in self.input_specs if s.kind is InputKind.BUFFER and s.target is not None}

    @property
    def inputs_to_lifted_tensor_constants(self) -> dict[str, str]:
        """Which constant an input is."""
        return {
            s.arg.name: s.target
            for s in self.input_specs
            if s.kind is InputKind.CONSTANT_TENSOR and s.target is not None
        }

    def _changed(self, kind: OutputKind) -> dict[str, str]:
        return {s.arg.name: s.target for s in self.output_specs if s.kind is kind and s.target is not None}

    @property
    def buffers_to_mutate(self) -> dict[str, str]:
        """Which buffer an output is the new value of: none, the graph writes to buffers itself."""
        return self._changed(OutputKind.BUFFER_MUTATION)

    @property
    def user_inputs_to_mutate(self) -> dict[str, str]:
        """Which input an output is the new value of: none, the graph writes to inputs itself."""
        return self._changed(OutputKind.USER_INPUT_MUTATION)

    @property
    def backward_signature(self) -> None:
        """None: no graph holds a backward pass."""

    def __str__(self) -> str:
        lines = ["", "# inputs", *map(str, self.input_specs), "", "# outputs", *map(str, self.output_specs), ""]
        return "\n".join(lines)


@dataclasses.dataclass
class SymIntArgument:
    """A size that may change, by name."""

    name: str


@dataclasses.dataclass
class SymFloatArgument:
    """A float that may change, by name."""

    name: str


@dataclasses.dataclass
class SymBoolArgument:
    """A bool that may change, by name."""

    name: str


@dataclasses.dataclass
class CustomObjArgument:
    """An object of a class of one's own, by name."""

    name: str
    class_fqn: str
    fake_val: Any = None
