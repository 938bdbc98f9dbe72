"""What stands in a package for a module that was left out: it is imported, and must not be used."""


class MockedObject:
    """Something of a module that was left out. Whatever is done with it raises NotImplementedError."""

    def __init__(self, name, _suppress_err=False):
        self.__dict__["_name"] = name
        if not _suppress_err:
            self._is_used("__init__")

    def _is_used(self, how):
        raise NotImplementedError(
            f"Object '{self.__dict__['_name']}' was mocked out during packaging but it is being used in {how}"
        )

    def __repr__(self):
        return f"{type(self).__name__}({self.__dict__['_name']})"


def _refusing(how):
    def method(self, *args, **kwargs):
        self._is_used(how)

    method.__name__ = how
    return method


_BINARY = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and or xor".split()
_OTHER = """
    bool bytes call ceil complex contains delattr delitem dir enter exit float floor format ge getattr getitem getnewargs getnewargs_ex
    gt hash index instancecheck int invert iter le len length_hint lt missing ne neg eq pos abs reversed round set_name setattr setitem
    subclasscheck trunc await aiter anext aenter aexit get set delete
""".split()
for _name in _OTHER + [form + name for name in _BINARY for form in ("", "r", "i")]:
    _dunder = f"__{_name}__"
    setattr(MockedObject, _dunder, _refusing(_dunder))
