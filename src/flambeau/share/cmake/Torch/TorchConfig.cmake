# find_package(Torch) comes here: flambeau is PyTorch's Python on XLA, and has no libtorch to build against.
set(Torch_FOUND FALSE)
set(TORCH_FOUND FALSE)
set(Torch_NOT_FOUND_MESSAGE "flambeau has no libtorch: write the operator with torch.library.custom_op, or build against PyTorch itself")
