"""Scripts that torchrun starts several times: each process calls `nmlab.fit`, and there is one record."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import nmlab
from nmlab import FieldError, TrainerOptions
from nmlab.fitting.request import FitRequest
from tests.helpers.fits import built, rows
from tests.helpers.problems import rosenbrock, rosenbrock_data
from tests.helpers.processes import ROOT

SCRIPT = """
import os, sys
import torch
import nmlab
from tests.helpers.problems import rosenbrock, rosenbrock_data

rank = int(os.environ["RANK"])
said = open(f"{sys.argv[1]}{rank}", "w")
torch.set_default_dtype(torch.float64)
torch.manual_seed(rank)  # the first process's weights count
problem = rosenbrock()
for seed in (1, 2):
    options = nmlab.TrainerOptions(max_epochs=2, seed=seed, shuffle=True)
    run = nmlab.fit(problem, rosenbrock_data, options, runs_dir=sys.argv[1], nsim=25, batch_size=8)
    total = sum(float(value.sum()) for value in problem.state_dict().values())
    print(run.id, run.status, total, run.problem is problem, file=said)

def broken():
    raise ValueError("no such sensor")

try:
    nmlab.fit(problem, broken, options, runs_dir=sys.argv[1])
except ValueError as error:
    print(error, file=said)
"""


def test_two_processes_write_one_record(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    folder = tmp_path / "runs"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(tmp_path / "script.py"), str(folder)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    first, second, broken = nmlab.RunStore(folder).runs()
    assert [run.status for run in (first, second, broken)] == ["finished", "finished", "failed"]
    assert first.settings["ranks"] == 2
    said = [Path(f"{folder}{rank}").read_text().splitlines() for rank in (0, 1)]
    assert said[0] == said[1]
    assert said[0][1].startswith(f"{second.id} finished ")
    assert said[0][1].endswith(" True")
    assert said[0][2:] == ["no such sensor"]
    torch.set_default_dtype(torch.float64)
    try:
        problem, options = built(rosenbrock), TrainerOptions(max_epochs=2, seed=1, shuffle=True)
        alone = nmlab.fit(problem, rosenbrock_data, options, runs_dir=tmp_path / "alone", nsim=25, batch_size=8)
    finally:
        torch.set_default_dtype(torch.float32)
    one, two = (torch.tensor(rows(run).to_numpy()) for run in (alone, first))
    assert torch.allclose(one, two, rtol=1e-10, atol=1e-10)


def test_other_counts_than_were_started_are_told(monkeypatch: pytest.MonkeyPatch, runs_dir: Path) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    options: dict[str, Any] = {"devices": 3, "num_nodes": 2, "launch": "process", "accelerator": "cpu"}
    with pytest.raises(FieldError) as caught:
        FitRequest(rosenbrock, rosenbrock_data, TrainerOptions(**options), runs_dir=runs_dir).checked()
    assert caught.value.faults["devices"].startswith("3 on 2 machines, but torchrun has started 2 processes")
    assert "give 'thread'" in caught.value.faults["launch"]
    for name in ("TORCHELASTIC_RUN_ID", "WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name)
    for name, value in {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "job", "SLURM_PROCID": "0"}.items():
        monkeypatch.setenv(name, value)  # of a job in which a Jupyter server runs
    FitRequest(rosenbrock, rosenbrock_data, TrainerOptions(), runs_dir=runs_dir).checked()
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "4")
    monkeypatch.setenv("SLURM_LOCALID", "0")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    two = FitRequest(rosenbrock, rosenbrock_data, TrainerOptions(devices=2, accelerator="cpu"), runs_dir=runs_dir)
    with pytest.raises(FieldError, match="srun has started 4 processes"):
        two.checked()
