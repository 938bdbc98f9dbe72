"""`torch._inductor.codecache`, which programs import before they load compiled packages. Nothing of it is here: XLA compiles, and
`flambeau.runtime` keeps what it has compiled.
"""

from __future__ import annotations
