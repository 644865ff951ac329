"""Licences of weights: as their makers state them, and nothing where they state none."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import timm

import reddino
from reddino.cli import main
from reddino.networks import hub
from reddino.networks.catalogue import PUBLISHED, RESNET50_LICENCE, RESNET50_WEIGHTS
from reddino.networks.create_backbone import initialise
from reddino.networks.folder import ModelCard, save_model_folder
from reddino.networks.licences import front_matter_licence, licence_of


def test_licence__of_timms_networks_is_that_of_its_catalogue() -> None:
    assert licence_of("timm:resnet50.a1_in1k") == "apache-2.0"
    assert licence_of("vit_small_patch16_dinov3.lvd1689m") == "dinov3-license"
    assert timm.get_pretrained_cfg(RESNET50_WEIGHTS).license == RESNET50_LICENCE == licence_of("resnet50")
    for name in ("dinov2-small", "dinov2-base", "dinov2-large"):
        repository = PUBLISHED[name].repository.removeprefix("timm/")
        assert timm.get_pretrained_cfg(repository).license == PUBLISHED[name].licence == licence_of(name)


def test_licence__of_the_shipped_model_stands_on_its_card() -> None:
    assert licence_of("reddino-tiny") == licence_of("turned:reddino-tiny") == "apache-2.0"


def test_licence__that_nobody_states_is_none(tmp_path: Path) -> None:
    (tmp_path / "w.pth").touch()
    for name in ("dinobloom-s", "untrained:resnet50", f"resnet50@{tmp_path}/w.pth", str(tmp_path / "w.pth")):
        assert licence_of(name) is None
    assert licence_of(str(tmp_path)) is None
    assert licence_of("timm:resnet50.nonsense") is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("---\nlicense: MIT\ntags: [a]\n---\n# x\n", "mit"),
        ("---\ntags:\n- a\nlicense: 'cc-by-4.0'\n---\n", "cc-by-4.0"),
        ("---\nlicense: other\nlicense_name: dinov3-license\n---\n", "dinov3-license"),
        ("---\nlicense: unknown\n---\n", None),
        ("# x\nlicense: mit\n", None),
        ("---\ntags: [a]\n---\nlicense: mit\n", None),
        ("", None),
    ],
)
def test_front_matter_licence__is_read_from_the_top_of_a_card(
    tmp_path: Path, text: str, wanted: str | None
) -> None:
    (tmp_path / "README.md").write_text(text)
    assert front_matter_licence(tmp_path / "README.md") == wanted


def test_licence__of_a_repository_stands_on_its_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    monkeypatch.setattr(hub, "fetch_optional", lambda name, file: tmp_path / file)
    assert licence_of("hf_hub:owner/name@main") == "mit"
    monkeypatch.setattr(hub, "fetch_optional", lambda name, file: None)
    assert licence_of("hf-hub:owner/name") is None


def test_models__show_licences(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    lines = {line.split("│")[1].strip(): line for line in capsys.readouterr().out.splitlines() if "│" in line}
    assert "apache-2.0" in lines["reddino-tiny"]
    assert "unknown" in lines["dinobloom-s"]
    assert "bsd-3-clause" in lines["resnet50"]
    assert max(map(len, lines.values())) <= 100
    assert [one.licence for one in reddino.models() if one.name == "dinov2-small"] == ["apache-2.0"]


def _folder(path: Path) -> Path:
    card = ModelCard("test_efficientnet", 64)
    backbone = card.create()
    initialise(backbone, 0)
    save_model_folder(path, backbone, card)
    return path


def test_export__carries_the_licence_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = _folder(tmp_path / "model")
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    assert main(["export", str(folder), str(tmp_path / "hub"), "--format", "hub"]) == 0
    card = (tmp_path / "hub" / "README.md").read_text()
    assert card.startswith("---\nlicense: cc-by-4.0\n")
    assert "| licence of the weights | cc-by-4.0 |" in card
    assert "licence of the weights, in README.md: cc-by-4.0" in capsys.readouterr().out
    assert licence_of(str(tmp_path / "hub")) == "cc-by-4.0"


def test_export__says_where_no_licence_is_stated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(_folder(tmp_path / "model")), str(tmp_path / "hub"), "--format", "hub"]) == 0
    printed = capsys.readouterr()
    assert "in README.md: unknown" in printed.out
    assert "name it by --licence" in printed.err
    assert "license: unknown" in (tmp_path / "hub" / "README.md").read_text()


def test_export__warns_of_a_licence_that_is_not_the_makers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("reddino"), "propagate", True)
    folder = _folder(tmp_path / "model")
    (folder / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n")
    reddino.export(str(folder), tmp_path / "hub", form="hub", licence="mit")
    assert "is cc-by-nc-4.0, and the card will have mit" in caplog.text
