"""A run of `film` that an earlier version began: what its settings meet, and that its variables are found."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import pytest
import tiny

from mask_embedding_gan.players import build_players, compiled
from mask_embedding_gan.presets import PRESETS
from mask_embedding_gan.schedule import Preset
from mask_embedding_gan.train import phases_left
from training.checkpoint import read_state
from training.run import RunDirectory, RunError, run_config

WRITTEN = Path(__file__).with_name("film.json")  # the preset as config.json of such a run holds it
LIGHT = tiny.ROOT / "docs" / "long-run.h5"
DATA = SimpleNamespace(kind="mammogram", meta={"shards": [{"sha256": "a"}]})


def begun(folder: Path) -> None:
    config = {"preset": json.loads(WRITTEN.read_text()), "seed": 0, "data": ["a"]}
    (folder / "config.json").write_text(json.dumps(config))


def test_it_is_refused_and_told_what_has_changed(tmp_path):
    begun(tmp_path)
    with pytest.raises(
        RunError, match="was made with other settings .* use another folder, or the old settings"
    ) as error:
        RunDirectory(tmp_path, run_config(PRESETS["film"].changed(precision="float32"), DATA, 0))
    assert len(str(error.value).splitlines()) == 1


def its_own_preset() -> Preset:
    later = ("r1_penalty", "level_spectrum", "levelled", "keeps_averages", "independent_noise", "own_detail")
    preset = PRESETS["film"].changed(precision="float32", without=later)
    earlier = replace(preset.schedule(5), learning_rate=0.0005, critic_learning_rate=0.0015)
    phases = (
        *preset.phases[:4],
        replace(earlier, stable_images=350_000, ticks=40),
        *(replace(one, learning_rate=0.0005, critic_learning_rate=0.0015) for one in preset.phases[5:]),
    )
    return replace(preset, phases=phases)


def test_with_its_own_settings_it_continues_though_others_have_been_added_since(tmp_path):
    begun(tmp_path)
    run = RunDirectory(tmp_path, run_config(its_own_preset(), DATA, 0))
    assert phases_left(run, its_own_preset(), 5) == [1, 2, 3, 4, 5]


def test_its_windows_are_refused_for_the_loss_that_they_had_is_gone(tmp_path):
    begun(tmp_path)
    run = RunDirectory(tmp_path, run_config(its_own_preset(), DATA, 0))
    with pytest.raises(RunError, match=f"--run {tmp_path}: began before keeps_averages .* give --phase 5 or another"):
        phases_left(run, its_own_preset(), 6)


def test_other_settings_are_refused(tmp_path):
    begun(tmp_path)
    preset = PRESETS["film"].changed(precision="float32", without=("jitter",))
    with pytest.raises(RunError, match="preset jitter: true there, false here"):
        RunDirectory(tmp_path, run_config(preset, DATA, 0))


def test_its_variables_have_the_same_names_in_the_same_order():
    phase, preset = read_state(LIGHT)["phase"], PRESETS["film"]
    if preset.network.has_windows(phase):
        pytest.skip("the long training is at its windows")
    model = compiled(build_players(preset.network, phase, 0), preset, phase, 0)
    with h5py.File(LIGHT) as file:
        for group, variables in {
            "generator": model.generator.weights,
            "critic": model.discriminator.weights,
            "ema_generator": [average for average, _ in model.weight_pairs(frozen=False)],
            "generator_optimizer": model.generator_optimizer.variables,
            "critic_optimizer": model.discriminator_optimizer.variables,
        }.items():
            written = [file[group][name].attrs["path"] for name in sorted(file[group])]
            own = 1 if group.endswith("optimizer") else 2  # Keras numbers the optimizers of a process
            assert [path.split("/")[-own:] for path in written] == [one.path.split("/")[-own:] for one in variables]
