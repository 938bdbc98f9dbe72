"""What the tests share: the same in both libraries.

`outcomes` is the core: what a piece of code gives, raises and warns of in one library, and whether two of these agree.
The rest are ways to write the code: an expression with torch's tensors (`expressions.check`) or with a fixed scope
(`expressions.agree`), a row with leaves and gradients (`rows`), a function of the library (`programs`), a script in
a process of its own (`process`). `values` converts and compares tensors.
"""
