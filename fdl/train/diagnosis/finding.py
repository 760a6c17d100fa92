"""What one check found: numbers, and a verdict about them."""

import dataclasses
import textwrap
from typing import ClassVar

OK = "ok"
WIDTH = 110  # of the lines of a checklist


@dataclasses.dataclass(frozen=True)
class Finding:
    """The result of one check; its ``str`` is its entry in the checklist.

    Attributes:
        title: what was looked at.
        verdict: "ok", or what is wrong and what to try.
    """

    title: ClassVar[str]
    verdict: str

    @property
    def ok(self) -> bool:
        """Whether there is nothing to do."""
        return self.verdict == OK

    @property
    def measured(self) -> str:
        """The numbers, in one line."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it measured")

    @property
    def details(self) -> str:
        """More of them, as a table or as further lines; often none."""
        return ""

    def __str__(self) -> str:
        lines = [_wrapped(f"[{'ok' if self.ok else '!!'}] ", f"{self.title}: {self.measured}")]
        if not self.ok:
            lines.append(_wrapped("     -> ", self.verdict))
        lines += [f"     {line}" for line in self.details.splitlines()]
        return "\n".join(lines)


def verdict_of(problems: list[str]) -> str:
    """The verdict when these are the problems.

    Example:
        >>> verdict_of([]), verdict_of(["the loss is NaN", "affine1 is dead"])
        ('ok', 'the loss is NaN. affine1 is dead')
    """
    return ". ".join(problems) if problems else OK


def _wrapped(mark: str, text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=mark, subsequent_indent=" " * len(mark), break_long_words=False)
