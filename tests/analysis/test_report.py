"""A run's report as one HTML file."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bs4 import BeautifulSoup
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

import nmlab
from nmlab import FieldError, Run, RunStore, TrainerOptions
from nmlab.analysis.report import PICTURE, _image
from nmlab.fitting.request import FitRequest
from nmlab.launch.fit import make_fit
from tests.helpers.fits import built
from tests.helpers.problems import rosenbrock, rosenbrock_data

SHORT = TrainerOptions(max_epochs=3, lr=0.01, seed=1, tensorboard=False)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs")

    def view(problem: Any, splits: Any) -> Figure:
        figure = Figure()
        figure.add_subplot().imshow(np.random.default_rng(0).random((600, 600)))
        return figure

    request = FitRequest(built(rosenbrock), rosenbrock_data, SHORT, runs_dir=folder, view=view)
    return make_fit(request).start().wait()


def test_it_says_what_was_trained_on_what_and_how_well(run: Run, tmp_path: Path) -> None:
    other = nmlab.fit(built(rosenbrock), rosenbrock_data, SHORT.replace(lr=0.1), nsim=50, runs_dir=tmp_path)
    path = run.report(tmp_path / "it.html", baseline=other)
    assert path.stat().st_size < 2_000_000
    page = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
    text = page.get_text(" ")
    assert [head.text for head in page.find_all("h2")] == [
        "Result",
        f"Compared with run {other.id}",
        "Worst samples",
        "Problem",
        "Data",
        "Settings",
        "Code",
    ]
    for name, value in run.test_metrics.items():
        assert name in text
        assert f"{value:.5g}" in text
    for told in ("circle", "x[:, [0]] ≥ x[:, [1]]", "rosenbrock_data", "MLP 2→8→2", "0.01", "finished after 3 epochs"):
        assert told in text
    worst = run.worst("test", "circle", 5)
    assert worst.head in text
    assert f"{worst.frame['circle'].iloc[0]:.5g}" in text
    images = page.find_all("img")
    assert len(images) == 4  # losses, terms, view, graph
    assert all(str(image["src"]).startswith("data:image/png;base64,") and image["alt"] for image in images)
    assert "lr" in text
    assert "import nmlab" in page.find_all("pre")[-1].text


def test_nothing_of_it_is_run_or_loaded_from_elsewhere(run: Run, tmp_path: Path) -> None:
    page = BeautifulSoup(run.report(tmp_path / "it.html").read_text(encoding="utf-8"), "html.parser")
    assert not page.find_all(["script", "link", "iframe", "object", "form"])
    assert not [tag for tag in page.find_all(True) for name in tag.attrs if name.startswith("on") or name == "href"]
    policy = page.find("meta", {"http-equiv": "Content-Security-Policy"})
    assert policy is not None
    assert "default-src 'none'" in policy["content"]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(TEXTS, TEXTS)
@settings(deadline=None, max_examples=20)
def test_every_text_is_escaped(tmp_path_factory: pytest.TempPathFactory, name: str, value: str) -> None:
    folder = tmp_path_factory.mktemp("odd")
    evil = f"<script>alert(1)</script><b title='x\">{value}"
    writer = RunStore(folder).create(
        "odd", {"seed": 1, "data_kwargs": {evil: evil, name: value}, "data_remarks": [evil]}
    )
    writer.append({"epoch": 0, "train_loss": 1.0, "dev_loss": 1.0, f"dev_{evil}": 2.0})
    writer.close("failed", {"type": "Error", "message": evil, "traceback": evil})
    RunStore(folder).annotate(writer.run, evil)
    html = Run(writer.folder).report(folder / "it.html").read_text(encoding="utf-8")

    tags: set[str] = set()

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            tags.add(tag)

    Tags().feed(html)
    assert not tags & {"script", "b"}
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 4


def test_what_is_not_known_is_said(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Run(run.folder).report()
    assert path == tmp_path / f"{run.id}-report.html"
    text = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser").get_text(" ")
    assert text.count("The Problem is not in this process") == 2
    elsewhere = Run(run.folder)
    elsewhere.restore(built(rosenbrock))
    text = BeautifulSoup(elsewhere.report().read_text(encoding="utf-8"), "html.parser").get_text(" ")
    assert "They cannot be found: RunError" in text
    assert "MLP 2→8→2" in text


def test_faults_are_told_at_once(run: Run, tmp_path: Path) -> None:
    with pytest.raises(FieldError) as told:
        run.report(tmp_path / "no" / "it.pdf", baseline="0001")  # type: ignore[arg-type]
    assert set(told.value.faults) == {"path", "folder", "baseline"}
    assert not list(tmp_path.iterdir())


def test_a_picture_of_any_size_fits(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1500, 2000, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    content = (tmp_path / "large.png").read_bytes()
    image = _image(content, "noise")
    assert len(re.sub(r"^.*,", "", image["source"])) <= PICTURE * 4 / 3 + 4
    assert image["width"] / image["height"] == pytest.approx(4 / 3, rel=0.02)
