"""The two functions of the engine as `torch.autograd` has them: classes of tensors are asked first."""

from ..core.autograd import engine
from ..core.context.overrides import published

backward = published(engine.backward, "torch.autograd")
grad = published(engine.grad, "torch.autograd")
