"""What a GPU is to show: every problem of the gallery trains on it as on the CPU: `python -m tests.gpu`.

Prints a table with the machine's name, and exits with 1 where a check fails. Not among the tests, as most machines have
no GPU.
"""

import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

import nmlab
from nmlab import NonFiniteLossError, TrainerOptions
from nmlab.gallery import get, names
from tests.helpers.problems import rosenbrock, rosenbrock_data, three

EPOCHS = 3
SAME = 1e-4
CHECKED_WITHIN = 50


def fitted(problem: Any, data: Any, folder: Path, **options: Any) -> nmlab.Run:
    given = {"max_epochs": EPOCHS, "seed": 0, "tensorboard": False, **options}
    return nmlab.fit(problem, data, TrainerOptions(**given), runs_dir=folder)


def of_gallery(name: str, folder: Path) -> tuple[float, float, float, bool]:
    """The largest relative difference of losses from the CPU's, seconds an epoch on each, whether weights came back."""
    runs, back = [], True
    for accelerator in ("cpu", "cuda"):
        torch.manual_seed(0)
        example = get(name)
        problem = example.problem()
        runs.append(fitted(problem, example.data_function(), folder, accelerator=accelerator))
        back = back and all(value.device.type == "cpu" for value in problem.state_dict().values())
        torch.cuda.empty_cache()
    columns = [torch.tensor(run.column("train_loss"), dtype=torch.float64) for run in runs]
    off = float(((columns[0] - columns[1]).abs() / columns[0].abs().clamp(min=1e-12)).max())
    seconds = [statistics.median(run.column("seconds")[1:]) for run in runs]
    return off, seconds[0], seconds[1], back


def finds_what_is_not_finite(folder: Path) -> bool:
    """Whether a loss that is not finite ends a fit within so many steps."""

    def data() -> Any:
        return three(lambda name: rosenbrock_data(1000, 10)[("train", "dev", "test").index(name)], 10)

    try:
        fitted(rosenbrock(), data, folder, accelerator="cuda", lr=1e30, gradient_clip_val=None, max_epochs=10**4)
    except NonFiniteLossError as error:
        return error.step <= CHECKED_WITHIN + 1
    return False


def synchronizations(folder: Path) -> float:
    """How often a step waits for the device."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        run = fitted(rosenbrock(), lambda: rosenbrock_data(3200, 32), folder, accelerator="cuda", profiler=None)
    waits = sum(each.count for each in profile.key_averages() if each.key in ("cudaStreamSynchronize", "aten::item"))
    return float(waits / (run.epochs * 100))


def main() -> None:
    if not torch.cuda.is_available():
        sys.exit("PyTorch finds no GPU here, so nothing was checked: run this on a machine with one.")
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, CUDA {torch.version.cuda}\n")
    print(f"{'problem':<20}{'off the CPU':>14}{'s/epoch CPU':>14}{'GPU':>10}  weights on the CPU")
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for name in names():
            try:
                off, cpu, gpu, back = of_gallery(name, Path(folder))
            except Exception as error:
                print(f"{name:<20}  {type(error).__name__}: {error}")
                failed.append(name)
                continue
            print(f"{name:<20}{off:>14.1e}{cpu:>14.4f}{gpu:>10.4f}  {'yes' if back else 'NO'}")
            if off > SAME or not back:
                failed.append(name)
        if not finds_what_is_not_finite(Path(folder)):
            failed.append(f"a loss that is not finite is found within {CHECKED_WITHIN} steps")
        if (waits := synchronizations(Path(folder))) > 0.5:
            failed.append(f"no step waits for the device ({waits:.2f} waits a step)")
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
