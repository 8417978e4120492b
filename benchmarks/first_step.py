"""`tiles-train` with a look at the clock on the way, ended after its first step: what `running.py` measures.

    python benchmarks/first_step.py SECONDS_SINCE_EPOCH dataset.store=FILE.h5 hydra.run.dir=DIR

Prints a JSON list: [mark, seconds, CPU seconds]. What the program itself imports late is not imported here either.
"""

import json
import sys
import time
from collections.abc import Callable
from typing import Any

MARKS = (
    "command checked",
    "lightning and callbacks imported",
    "parts built, store opened",
    "loggers begun",
    "untrained encoder probed",
    "first step",
)


def main(begun: float, words: list[str]) -> None:
    """Run it."""
    from tiles_ecg import console, train

    marks: list[tuple[str, float, float]] = []

    def mark() -> None:
        marks.append((MARKS[len(marks)], time.time() - begun, time.process_time()))

    def then_mark(call: Callable[..., Any]) -> Callable[..., Any]:
        def both(*args: Any) -> Any:
            result = call(*args)
            mark()
            return result

        return both

    fit_on = train.fit

    def fit(trainer: Any, parts: Any, resumed: Any) -> None:
        mark()
        probe = next(each for each in trainer.callbacks if type(each).__name__ == "OnlineProbe")
        probe.on_train_start = then_mark(probe.on_train_start)
        parts.objective.on_train_batch_end = end
        fit_on(trainer, parts, resumed)

    def end(*_: Any) -> None:
        mark()
        print(json.dumps(marks), flush=True)
        raise KeyboardInterrupt

    def measured(cfg: Any) -> None:
        mark()
        train.train(cfg)

    train.build_trainer, train.build = then_mark(train.build_trainer), then_mark(train.build)
    train.fit = fit  # type: ignore[assignment]
    sys.argv = ["tiles-train"]
    console.run(measured, "train", words)


if __name__ == "__main__":
    main(float(sys.argv[1]), sys.argv[2:])
