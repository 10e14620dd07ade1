"""A message to its signature."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from report import Figure, Section, Table, arguments, medians, publish, version, with_spread
from tailrace import sign_request
from timing import Measured, Samples, measure
from workloads import messages

if TYPE_CHECKING:
    from collections.abc import Callable

OURS = "tailrace sign_request"
EXPRESSION = "hashlib, the full expression"
DIGEST = "hashlib, the digest alone"
TIMESTAMP = 1_763_640_000_000
SECRET = "a key of our own"  # noqa: S105 - the benchmark's
BYTES_A_TURN = (
    4_000_000  # a turn is so many bytes' worth of calls, each call counted as 1 KB more than it has
)
NOTES = """\
The digest alone is what is left of the expression when the string has been put together and \
encoded before: it ends
with the same hex digits."""


def main() -> None:
    """Measure, publish."""
    options = arguments(__doc__)
    taken = {
        length: measure(signing(message, 10 if options.quick else None), 2 if options.quick else 31)
        for length, message in messages().items()
    }
    cells = tuple(
        (name, *(with_spread(samples, name) for samples in taken.values()))
        for name in (OURS, EXPRESSION, DIGEST)
    )
    section = Section(
        name="sign",
        title="A message to its signature",
        tables=(Table("ns a message", ("signer", *taken), cells),),
        figures=tuple(figures(taken)),
        notes=NOTES,
        versions={package: version(package) for package in ("tailrace", "python")},
        medians={f"sign {length}": medians(samples, OURS) for length, samples in taken.items()},
    )
    publish(section, options)


def signing(message: str, calls: int | None) -> list[Measured]:
    """The three ways, each a loop of its own: one call more a message would count."""
    times = calls or max(1, BYTES_A_TURN // (len(message) + 1_000))
    signed = f"{TIMESTAMP}:{message}:{SECRET}".encode()
    expected = hashlib.sha256(signed).hexdigest()

    def ours() -> str:
        signature = ""
        for _ in range(times):
            signature = sign_request(TIMESTAMP, message, SECRET)
        return signature

    def expression() -> str:
        signature = ""
        for _ in range(times):
            signature = hashlib.sha256(f"{TIMESTAMP}:{message}:{SECRET}".encode()).hexdigest()
        return signature

    def digest() -> str:
        signature = ""
        for _ in range(times):
            signature = hashlib.sha256(signed).hexdigest()
        return signature

    ways: dict[str, Callable[[], str]] = {OURS: ours, EXPRESSION: expression, DIGEST: digest}
    return [Measured(name, work, expected.__eq__, times) for name, work in ways.items()]


def figures(taken: dict[str, Samples]) -> list[Figure]:
    """What was to be reached, and how the others stand."""
    return [
        Figure(
            f"sign, {length}, to {EXPRESSION}",
            samples.ratio(OURS, EXPRESSION),
            0.55 if length == "100 B" else None,
        )
        for length, samples in taken.items()
    ]


if __name__ == "__main__":
    main()
