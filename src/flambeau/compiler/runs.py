"""How the runs of a program go: the first one compiles, and checks on values may fail."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import jax

from ..core.array import devices
from ..core.dispatch import checks
from ..runtime.memory import Growth
from .executable import Executable
from .plan import Plan


class Runs:
    """`run` runs the XLA program. `begun` is called once the first run has ended well, `give_up` takes back what the trace has
    begun if it does not.
    """

    def __init__(
        self, plan: Plan, executable: Executable, begun: Callable[[], None] | None, give_up: Callable[[], None]
    ):
        self.plan = plan
        self.executable: Executable = executable
        self.calls = 0
        self._growth: Growth | None = None  # of a program that needs much memory
        self._seen = 0  # calls until `was_used` was last asked
        self.word_at_hand: bool = False  # whether the error word is in the host's memory
        self.failed: int | None = None  # the number of the check that the last call has failed in
        self.run: Callable[..., Any] = self._first
        self._begun = begun
        self._give_up: Callable[[], None] | None = give_up

    def was_used(self) -> bool:
        """Whether it was called since this was last asked, or is about to be called for the first time."""
        before, self._seen = self._seen, self.calls
        return self.calls > before or not self.calls

    def use(self, executable: Executable) -> None:
        """Run another XLA program for the same plan from now on."""
        self.executable = executable
        if self.calls:
            self.run = self._run_of(executable)

    def _run_of(self, executable: Executable) -> Callable[..., Any]:
        run, growth = executable.run, self._growth
        if growth is None:
            return run

        def looking(*inputs: Any) -> Any:
            outputs = run(*inputs)
            growth.look()
            return outputs

        return looking

    def _first(self, *inputs: Any) -> Any:
        # XLA's results are bound to a device if any input is. State that the trace has begun is not, and would come back
        # as another kind of input: the second call would compile once more.
        given = list(inputs)
        places = {_everywhere(a.sharding) for a in given if isinstance(a, jax.Array) and a.committed}
        if len(places) == 1 and not any(map(devices.is_far, places)):
            place = places.pop()
            begun = [i for i in self.executable.donated if isinstance(given[i], jax.Array) and not given[i].committed]
            for i, value in zip(begun, jax.device_put([given[i] for i in begun], place), strict=True):
                given[i] = value
        growth = Growth()
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Some donated buffers were not usable")
                outputs = self.executable.run(*given)
        except BaseException:
            self.give_up()
            raise
        word = self._word(outputs)
        if word is not None:
            self.word_at_hand = {device.platform for device in word.devices()} == {"cpu"} and len(word.devices()) == 1
            self.check(word, outputs)
        self._growth = growth if growth.look() else None
        self.run = self._run_of(self.executable)
        self._give_up = None
        if self._begun is not None:
            self._begun()
        return outputs

    def _word(self, outputs: Any) -> Any:
        return None if self.plan.word is None else outputs[self.executable.outputs[self.plan.word]]

    def check(self, word: Any, outputs: Any) -> None:
        """Raise what the error word tells of. Memory that was given over is back then, with the old values in it."""
        failed = checks.failure(word, self.plan.refusals)
        if failed is None:
            return
        error, number = failed
        self.failed = len(self.plan.ahead) + number
        place, changes = self.executable.outputs, self.plan.changes
        written = [(storage, n) for storage, n in changes.storages if n in place]
        written += [(source.find()._storage, n) for source, n in changes.places]
        for storage, n in written:
            if place[n] in self.executable.given_over:
                storage.value = outputs[place[n]]
        self.give_up()
        raise error

    def refuse(self, inputs: list[Any], places: list[int]) -> None:
        """Raise what the checks before the run tell of, if they do. `places` are those of what they look at."""
        for number, (check, place) in enumerate(zip(self.plan.ahead, places, strict=True)):
            error = check.failure(inputs[place])
            if error is not None:
                self.failed = number
                self.give_up()
                raise error

    def draw_again(self, marks: Any, given: Any) -> None:
        """For a call that has failed: the random generators go back, and on to where the function had drawn when its check failed."""
        failed, self.failed = self.failed, None
        self.give_up()
        self.plan.drawing.go_back(marks)
        self.plan.drawing.repeat(failed, given)

    def give_up(self) -> None:
        """Take back what the trace has begun, if this was to be the first run."""
        if self._give_up is not None:
            self._give_up()
            self._give_up = None


def _everywhere(place: Any) -> Any:
    """A place for tensors of any shape: the devices of a mesh, however one tensor is cut over them."""
    if isinstance(place, jax.sharding.NamedSharding):
        return jax.sharding.NamedSharding(place.mesh, jax.sharding.PartitionSpec())
    return place
