"""Keys → state."""

from ops.top.controls import CONTROLS, footer, press
from ops.top.state import SORTS, Screen, State
from tests.support.statuses import book, status


def pressed(*keys: str, state: State | None = None) -> State:
    current = state or State(status=status(pairs=6))
    for key in keys:
        current = press(current, key)
    return current


def names(state: State) -> list[str]:
    return [f"{pair.venue} {pair.market} {pair.pair}" for pair in state.visible()]


def test_q_and_ctrl_c_quit_from_every_screen():
    for screen in Screen:
        for key in ("q", "ctrl-c"):
            assert press(State(screen=screen), key).quit


def test_trouble_stands_first():
    assert names(pressed())[0] == "mexc spot FOO/USDT"


def test_the_selection_follows_its_pair_through_another_order():
    state = pressed("down", "down")
    chosen = state.selected
    state = press(state, "s")
    visible = state.visible()
    assert visible[state.position(visible)].key == chosen


def test_the_selection_stays_within_the_list():
    assert pressed("up", "up").selected == pressed("home").selected
    assert pressed("end", "down", "page-down").selected == pressed("end").selected
    assert pressed("j", "k").selected == pressed("home").selected
    assert press(State(), "down").selected is None


def test_sort_goes_through_every_column_and_back():
    state = pressed()
    seen = []
    for _ in SORTS:
        seen.append(state.sort)
        state = press(state, "s")
    assert seen == list(SORTS)
    assert state.sort == "trouble"


def test_reverse_turns_the_order():
    assert names(pressed("r")) == names(pressed())[::-1]


def test_every_column_sorts_what_it_says():
    state = pressed("s", "s", "s", "s")
    assert state.sort == "age"
    ages = [pair.age_ms for pair in state.visible()]
    assert ages == [*sorted([age for age in ages if age is not None], reverse=True), None]


def test_a_filter_is_typed_and_kept():
    state = pressed("/", "o", "k", "x", "space", "f", "u", "x", "backspace", "enter")
    assert (state.filter, state.typing) == ("okx fu", False)
    assert names(state)
    assert all(name.startswith("okx futures") for name in names(state))


def test_keys_are_letters_while_a_filter_is_typed():
    state = pressed("/", "q", "s", "?")
    assert (state.filter, state.quit, state.sort, state.screen) == ("qs?", False, "trouble", Screen.PAIRS)
    assert press(state, "ctrl-c").quit


def test_escape_drops_the_filter():
    assert pressed("/", "x", "escape").filter == ""
    assert pressed("/", "x", "enter", "escape").filter == ""


def test_a_reason_can_be_searched():
    assert names(pressed("/", *"does", "space", *"not")) == ["mexc spot FOO/USDT"]


def test_enter_opens_the_selected_book_and_escape_leaves_it():
    state = pressed("down", "enter")
    assert state.screen is Screen.BOOK
    assert state.wanted_book() == state.selected
    assert state.book is None
    back = press(state, "escape")
    assert (back.screen, back.selected, back.wanted_book()) == (Screen.PAIRS, state.selected, None)


def test_enter_opens_the_first_pair_when_none_was_selected():
    state = pressed("enter")
    assert state.selected.pair == "FOO/USDT"


def test_enter_without_pairs_opens_nothing():
    assert press(State(), "enter").screen is Screen.PAIRS


def test_help_leads_back_to_where_it_came_from():
    state = pressed("enter", "?")
    assert state.screen is Screen.HELP
    assert press(state, "?").screen is Screen.BOOK
    assert press(state, "escape").screen is Screen.BOOK


def test_the_book_of_another_pair_is_never_shown_under_a_new_heading():
    state = press(State(status=status(), book=book()), "enter")
    assert state.book is None


def test_a_key_without_a_meaning_changes_nothing():
    state = pressed()
    assert press(state, "z") is state


def test_no_key_means_two_things_on_one_screen():
    for screen in Screen:
        keys = [key for control in CONTROLS if screen in control.screens for key in control.keys]
        assert len(keys) == len(set(keys)), screen


def test_nothing_irreversible_hides_behind_a_small_letter():
    assert not [key for control in CONTROLS for key in control.keys if len(key) == 1 and key.isupper()]


def test_the_footer_shows_what_works_here():
    assert any(text.startswith("enter") for text in footer(pressed()))
    assert not any(text.startswith("s ") for text in footer(pressed("enter")))
    assert footer(pressed("/")) == ["enter keep", "esc drop"]
