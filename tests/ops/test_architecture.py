"""The pages in ops/ and beside them: what is generated is what the code says, and what they point to exists."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr

from fleet.config import WITHOUT_EFFECT, Settings
from ops.architecture import PAGES, ROOT, SECTIONS, renewed, section_names
from tests.support.commands import run_fleet

HAND_WRITTEN = (ROOT / "README.md", ROOT / "CHANGELOG.md")
DOCUMENTS = (*PAGES, *HAND_WRITTEN)
TEXTS = {page.name: page.read_text() for page in DOCUMENTS}
NOT_SETTINGS = {"FLEET_CONFIG", "FLEET_RECORDED"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_generated_sections_are_what_the_code_says_now(page: Path) -> None:
    assert page.read_text() == renewed(page.read_text()), "run: python -m ops.architecture"


def test_every_section_stands_on_one_page_at_least() -> None:
    used = {name for page in PAGES for name in section_names(page.read_text())}
    assert used == set(SECTIONS)


def test_a_section_that_is_out_of_date_is_written_anew_and_its_surroundings_stay() -> None:
    page = "before\n<!-- generated: sequence -->\nold\n<!-- end -->\nafter\n"
    after = renewed(page)
    assert after.startswith("before\n<!-- generated: sequence -->\n| state |")
    assert after.endswith("\n<!-- end -->\nafter\n")
    assert "old\n" not in after


def test_a_section_that_nobody_generates_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        renewed("<!-- generated: weather -->\n<!-- end -->")


@pytest.mark.parametrize("name", TEXTS)
def test_links_lead_somewhere(name: str) -> None:
    folder = next(page.parent for page in DOCUMENTS if page.name == name)
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", TEXTS[name]):
        file = (folder / target).resolve() if target else folder / name
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text()), f"{target}#{anchor}"


def anchors(text: str) -> set[str]:
    """Of the headings, as code hosts make them."""
    return {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }


@pytest.mark.parametrize("name", TEXTS)
def test_files_and_tests_that_are_named_exist(name: str) -> None:
    tests = {
        found: path
        for path in (ROOT / "tests").rglob("test_*.py")
        for found in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    for path in re.findall(r"`((?:fleet|books|feeds|monitor|trader|ops|lua|tests)/[\w./]*)(?:::\w+)?`", TEXTS[name]):
        assert (ROOT / path).exists() or path.endswith("NAME.py"), path
    for path, test in re.findall(r"`(tests/[\w./]+)::(\w+)`", TEXTS[name]):
        assert re.search(rf"def {test}\b", (ROOT / path).read_text()), f"{path}::{test}"
    for test in re.findall(r"`(test_\w+)`", TEXTS[name]):
        assert test in tests, test


@pytest.mark.parametrize("name", TEXTS)
def test_settings_that_are_named_exist(name: str) -> None:
    for setting in re.findall(r"FLEET_[A-Z_]+[A-Z](?![A-Z_…*])", TEXTS[name]):
        field = setting.removeprefix("FLEET_").lower().partition("__")[0]
        if setting in NOT_SETTINGS or setting == "FLEET_LEASEMS":  # a wrong name, to show its error
            continue
        assert field in Settings.model_fields, setting


def test_every_command_is_explained() -> None:
    ended = run_fleet("--help", TERM="dumb", COLUMNS="200")
    commands = re.findall(r"^[│|] ([a-z]+)  +\S", ended.out, re.MULTILINE)
    assert len(commands) > 10
    for command in commands:
        assert f"`fleet {command}" in TEXTS["OPERATING.md"], command


def test_a_setting_that_is_called_idle_is_used_by_nobody_who_works() -> None:
    for part in ("fleet", "books", "feeds", "monitor", "trader"):
        for path in (ROOT / part).rglob("*.py"):
            for name in WITHOUT_EFFECT:
                assert not re.search(rf"settings\.{name}\b", path.read_text()), f"{path}: {name} is not idle any more"


def test_every_setting_called_idle_is_warned_of_where_it_is_given() -> None:
    given = Settings(standby=True, spill_dir=Path("spill"), api_port=8080, api_token=SecretStr("x"))
    assert {name.removeprefix("FLEET_").lower() for name in given.without_effect()} == set(WITHOUT_EFFECT)
    assert Settings().without_effect() == []
