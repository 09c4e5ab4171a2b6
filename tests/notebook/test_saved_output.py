"""What a saved notebook keeps of a panel."""

import threading
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

import nmlab
from nmlab import TrainerOptions
from nmlab.notebook.saved_output import RUNS, SavedOutput
from nmlab.runs import RunStore
from tests.helpers.problems import rosenbrock, rosenbrock_data


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Any:
    sent: list[tuple[dict[str, str], str, bool]] = []

    class Publisher:
        def publish(self, data: Any, metadata: Any = None, transient: Any = None, update: bool = False) -> None:
            sent.append((data, transient["display_id"], update))

    shell = InteractiveShell.instance()
    monkeypatch.setattr(shell, "display_pub", Publisher())
    yield sent
    InteractiveShell.clear_instance()


def test_every_place_it_was_shown_at_is_kept_alike(published: Any, tmp_path: Path) -> None:
    run = nmlab.fit(rosenbrock, rosenbrock_data, TrainerOptions(max_epochs=2), nsim=20, runs_dir=tmp_path)
    saved: list[tuple[str, Any]] = []
    kept = SavedOutput("key", lambda *told: saved.append(told))
    kept.show()
    threading.Thread(target=kept.update, args=(run, [], RunStore(tmp_path).runs())).run()
    kept.show()
    assert [(display_id, update) for _, display_id, update in published] == [
        ("key", False),
        ("key", True),
        ("key", False),
    ]
    assert published[1][0] == published[2][0]
    assert saved == [("key", published[1][0])]
    html = published[-1][0]["text/html"]
    assert "nmlab-kept-key" in html  # by which the living panel hides it
    assert "data:image/png;base64," in html
    assert run.id in html
    assert "<script" not in html


def never(*_given: Any) -> None:
    raise AssertionError


def test_before_it_is_shown_nothing_is_sent(published: Any, tmp_path: Path) -> None:
    run = nmlab.fit(rosenbrock, rosenbrock_data, TrainerOptions(max_epochs=1), nsim=20, runs_dir=tmp_path)
    SavedOutput("key", never).update(run, [], RunStore(tmp_path).runs())
    assert published == []


def test_many_runs_stay_small(published: Any, tmp_path: Path) -> None:
    store = RunStore(tmp_path)
    for number in range(RUNS + 20):
        store.create(f"a run with a name {number}", {"data_kwargs": {"nsim": number}}).close("finished")
    kept = SavedOutput("key", lambda _key, _bundle: None)
    kept.show()
    runs = store.runs()
    kept.update(runs[-1], [], runs)
    html = published[-1][0]["text/html"]
    assert f"{RUNS + 20:04d}-" in html
    assert "0001-" not in html
    assert len(html) < 40_000
