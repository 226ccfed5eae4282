"""The 23 things that users of such tools asked for or complained about, and what answers each.

The list comes from issue threads of training tools with a page (LLaMA-Factory, text-generation
webui, kohya, AutoTrain, Unsloth, Kiln, AI Sheets, Trackio, …). An entry names the tests that would
fail if the answer went away.
"""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

THREADS: dict[str, tuple[str, ...]] = {
    "01 a reload loses the view of the training": (
        "browser/test_survival.py::test_training_outlives_reload_restart_and_kill",
    ),
    "02 settings, log and loss are kept over a refresh": (
        "browser/test_survival.py::test_draft_outlives_reload_and_restart",
        "browser/test_survival.py::test_training_outlives_reload_restart_and_kill",
    ),
    "03 an interrupted run is resumed from the page": (
        "browser/test_survival.py::test_run_outlives_browser_server_stop_and_kill",
        "browser/test_survival.py::test_training_outlives_reload_restart_and_kill",
    ),
    "04 writing goes on when the browser goes": (
        "browser/test_survival.py::test_run_outlives_browser_server_stop_and_kill",
    ),
    "05 a long session is found again": (
        "browser/test_survival.py::test_run_outlives_browser_server_stop_and_kill",
        "browser/test_survival.py::test_wrong_address_says_so",
    ),
    "06 it says running after the trainer has crashed": (
        "browser/test_survival.py::test_run_outlives_browser_server_stop_and_kill",
        "ui/test_snapshot.py::test_strip_says_what_a_dead_run_is",
        "jobs/test_supervisor.py::test_f8_a_silent_worker_is_not_responding",
    ),
    "07 the page shows other settings than the run's own": (
        "ui/test_actions.py::test_a_field_that_another_page_changed_is_not_saved_over",
        "ui/test_actions.py::test_refused_value_comes_back",
    ),
    "08 stop without a choice": (
        "browser/test_survival.py::test_training_outlives_reload_restart_and_kill",
        "browser/test_survival.py::test_run_outlives_browser_server_stop_and_kill",
    ),
    "09 several trainings wait for their turn": (
        "jobs/test_supervisor.py::test_f10_one_at_a_time_in_order_of_arrival",
        "jobs/test_supervisor.py::test_a_waiting_run_can_be_stopped",
    ),
    "10 stop is hard to find; keep and reject by score": (
        "browser/test_accessibility.py::test_nothing_scrolls_over_the_strip",
        "ui/test_actions.py::test_line_shows_what_it_keeps_and_spares_people",
    ),
    "11 the loss curve and the error are in the page": (
        "browser/test_journey.py::test_files_become_an_adapter",
        "ui/test_snapshot.py::test_strip_says_what_a_dead_run_is",
    ),
    "12 cannot tell whether it finished, or where the model is": (
        "ui/test_actions.py::test_where_the_adapter_is_is_said_except_to_strangers",
        "browser/test_journey.py::test_files_become_an_adapter",
    ),
    "13 memory is estimated before the start": (
        "ui/test_actions.py::test_card_names_what_was_found",
        "ui/test_actions.py::test_fit_tells_memory_of_a_gpu_where_there_is_one",
        "test_fit.py::test_what_cannot_fit_is_said",
        "ui/test_actions.py::test_it_is_said_how_good_the_estimate_was",
    ),
    "14 charts flicker at every refresh": (
        "ui/test_snapshot.py::test_tokens_change_only_with_what_they_are_about",
        "ui/test_page.py::test_sections_draw_few_components_each",
    ),
    "15 own data is shown": (
        "browser/test_survival.py::test_draft_outlives_reload_and_restart",
        "ui/test_actions.py::test_uploaded_rows_are_shown_as_they_were_read",
    ),
    "16 one bad row is regenerated, or written by hand": (
        "ui/test_actions.py::test_undone_regeneration_brings_the_former_text",
        "ui/test_actions.py::test_what_a_filter_shows_is_regenerated_without_what_a_person_touched",
        "browser/test_review.py::test_written_by_hand",
        "browser/test_review.py::test_two_tabs_on_one_sample_get_a_sentence",
    ),
    "17 one decision for all similar rows": (
        "browser/test_review.py::test_bulk_says_how_many_and_can_be_undone",
        "ui/test_actions.py::test_one_repair_for_all_that_the_filter_shows",
    ),
    "18 rows are uploaded, and long texts edited beside the table": (
        "browser/test_review.py::test_rows_go_out_and_come_in",
        "browser/test_review.py::test_an_edit_is_stored_and_undone_after_a_reload",
    ),
    "19 the form is lost after a failure": (
        "ui/test_actions.py::test_a_recipe_comes_back_whole",
        "ui/test_actions.py::test_form_is_stored_at_once",
        "ui/test_actions.py::test_refused_value_comes_back",
    ),
    "20 advanced options behind a button": ("ui/test_page.py::test_every_recipe_field_is_offered",),
    "21 a model folder outside the program's own is refused": (
        "browser/test_journey.py::test_files_become_an_adapter",
    ),
    "22 an export without effect, a card that the Hub refuses": (
        "export/test_bundle.py::test_plain_peft_gives_the_same_numbers_in_a_fresh_process",
        "test_consult.py::test_merged_model_answers_like_base_and_adapter",
        "export/test_card.py::test_a_local_path_is_never_in_it",
        "ui/test_push.py::test_local_target_is_asked_for_its_id",
    ),
    "23 blank labels after an upgrade of Gradio": (
        "ui/test_page.py::test_every_control_has_a_label",
        "test_requirements.py::test_every_pin_is_exact_and_from_the_index",
        "test_requirements.py::test_gradio_is_the_one_that_the_space_runs",
    ),
}


@pytest.mark.parametrize("thread", THREADS)
def test_thread_is_answered(thread: str) -> None:
    for answer in THREADS[thread]:
        file, _, name = answer.partition("::")
        tree = ast.parse((TESTS / file).read_text())
        names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert name in names, answer


def test_all_threads_are_listed() -> None:
    assert [int(thread[:2]) for thread in THREADS] == list(range(1, 24))
