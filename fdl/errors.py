"""The one error that fdl raises for arguments it cannot take."""


class InputError(ValueError):
    """What was expected, what came, and in which layer.

    Raised before anything is compiled. Each combinator that the error passes on its way out puts the
    name of its child in front of ``path``, so that the message starts with where to look.

    Example:
        >>> raise InputError("expected 3 features, got 4", path=("encoder", "affine1"))
        Traceback (most recent call last):
            ...
        fdl.errors.InputError: encoder.affine1: expected 3 features, got 4
    """

    def __init__(self, problem: str, path: tuple[str, ...] = ()):
        super().__init__(problem, path)
        self.problem = problem
        self.path = path

    def __str__(self) -> str:
        return f"{'.'.join(self.path)}: {self.problem}" if self.path else self.problem
