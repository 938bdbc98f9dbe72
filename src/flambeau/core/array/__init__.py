"""What describes an array: dtypes, devices, sizes, strides, printed form."""
