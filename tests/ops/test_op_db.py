"""Every operator against the sample inputs that torch's own tests use.

The ordinary run takes one sample of each, forward and gradient, as a function, a method and in place; `-m slow` takes
everything. One operator: `pytest -m slow tests/ops/test_op_db.py -k "[add-"`.
"""

from __future__ import annotations

import pytest

from support.op_database import ALL, DIFFERENCES, LOOSER, SAMPLES, known, op_infos, show, sweep, usual_sample

PARTS = 12  # several operators in one test: 566 tests would take longer to report than to run
NO_SAMPLE = {  # operator -> why none of its samples is compared (test_every_operator.py has rows of our own)
    "chalf": "there are no complex numbers of half precision",
    **{f"torch.ops.aten._{n}_attention_forward": "torch has samples for GPUs only" for n in ("flash", "efficient")},
    "nn.functional.batch_norm.without_cudnn": "torch has samples for GPUs only",
    "nn.functional.triplet_margin_with_distance_loss": "the distance in all of torch's samples is torch's own module",
    "to": "all of torch's samples name a memory format",
    "as_strided.partial_views": "the samples are carried over by value, so what they are views of is lost",
}


@pytest.mark.slow
@pytest.mark.parametrize("key", sorted(known()), ids=lambda key: f"{key}-")
def test_operator(key: str) -> None:
    found, used = sweep(key)
    assert not found, f"{len(found)} differences:\n" + "\n".join(found[:20])
    gone = [  # told only by a whole sweep: a known difference may lie in samples that were not taken
        d for d in DIFFERENCES.get(key, ()) if d.what in ("forward", "gradient", "in-place", "all") and d not in used
    ]
    assert not gone or SAMPLES < ALL, f"known differences of {key} that are none any more: {[d.reason for d in gone]}"


@pytest.mark.parametrize("part", range(PARTS))
def test_one_sample_of_each(part: int) -> None:
    found: list[str] = []
    for key in sorted(known())[part::PARTS]:
        case = usual_sample(key)
        assert (case is None) == (key in NO_SAMPLE), key
        if case is not None:
            found += [f"{key} {case.dtype}: ({show(case.sample)}) {text}" for text in case.failures(forms=True)]
    assert not found, f"{len(found)} differences:\n" + "\n".join(found)


def test_the_differences_name_operators() -> None:
    unknown = [key for key in (*DIFFERENCES, *LOOSER, *NO_SAMPLE) if key not in op_infos()]
    assert not unknown, f"no such operators in torch: {unknown}"
