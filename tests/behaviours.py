"""The behaviour that bgjob promises, where each promise comes from, and the tests that prove it.

`tests/arch/test_behaviours.py` fails when a behaviour names no test, or a test that does not exist. Sources: P1 to
P7 are the promises in docs/explanation/architecture.md; other names are pages below docs/.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One thing that must hold.

    Args:
        text: what an observer sees.
        source: where it is promised.
        tests: `file::test` below tests/, without parameters.
    """

    text: str
    source: str
    tests: tuple[str, ...]


BEHAVIOURS: tuple[Behaviour, ...] = (
    Behaviour(
        "A job, its output and its exit status survive the death of the client that started it",
        "P1",
        (
            "mcp/test_server_process.py::test_end_of_stdin_ends_the_server_and_never_a_job",
            "mcp/test_server_process.py::test_a_client_that_kills_its_servers_process_group_ends_no_job",
            "cli/test_run.py::test_interrupting_a_follow_detaches_and_the_job_goes_on",
        ),
    ),
    Behaviour(
        "A real build goes on when its agent is killed with SIGKILL, and the next agent gets all of it",
        "P1",
        (
            "fault/test_client_death.py::test_a_build_goes_on_when_its_agent_is_killed_and_the_next_agent_finds_it",
            "fault/test_client_death.py::test_the_exit_status_of_a_build_that_fails_after_its_agent_was_killed_is_kept",
        ),
    ),
    Behaviour(
        "A daemon killed with SIGKILL at any instant loses nothing",
        "P1",
        (
            "fault/test_daemon_death.py::test_a_daemon_killed_in_the_middle_of_everything_loses_nothing",
            "fault/test_daemon_death.py::test_jobs_go_on_while_the_daemon_is_dead_and_are_adopted_with_their_names",
            "fault/test_daemon_death.py::test_queued_jobs_are_queued_again_in_their_order",
        ),
    ),
    Behaviour(
        "A job that was submitted when the daemon died exists exactly once",
        "P1",
        (
            "fault/test_daemon_death.py::test_a_job_whose_submitter_saw_the_daemon_die_exists_exactly_once",
            "runner/test_rescue.py::test_a_kill_at_any_instant_of_the_start_runs_the_job_exactly_once",
        ),
    ),
    Behaviour(
        "A restart of the daemon keeps jobs, ids and event numbers",
        "P1",
        (
            "fault/test_daemon_death.py::test_a_polite_restart_keeps_jobs_ids_and_the_numbers_of_events",
            "cli/test_daemon.py::test_jobs_go_on_over_stop_and_restart",
        ),
    ),
    Behaviour(
        "A killed runner loses neither a byte nor the exit code",
        "P1",
        (
            "runner/test_rescue.py::test_a_killed_runner_loses_neither_a_byte_nor_the_exit_code",
            "runner/test_rescue.py::test_the_successor_serves_the_same_socket_with_the_same_input",
            "fault/test_torture.py::test_a_short_torture_loses_nothing_and_kills_every_kind_of_process",
        ),
    ),
    Behaviour(
        "A killed zygote disturbs no job",
        "P1",
        (
            "runner/test_rescue.py::test_a_killed_zygote_disturbs_no_runner",
            "fault/test_daemon_death.py::test_the_zygotes_death_disturbs_no_job_and_the_next_job_starts",
            "fault/test_daemon_death.py::test_daemon_and_zygote_killed_together_disturb_no_job",
        ),
    ),
    Behaviour(
        "A lost or damaged history is rebuilt from the job directories",
        "P1",
        (
            "fault/test_storage.py::test_a_lost_history_is_rebuilt_from_the_job_directories",
            "fault/test_storage.py::test_a_history_deleted_below_a_running_daemon_is_rebuilt_at_the_next_end",
            "fault/test_storage.py::test_event_numbers_grow_over_the_loss_of_the_history",
        ),
    ),
    Behaviour(
        "A damaged record harms no other job and does not stop the daemon",
        "P1",
        (
            "fault/test_storage.py::test_a_damaged_record_of_an_ended_job_harms_no_other_job",
            "fault/test_storage.py::test_a_live_job_with_a_damaged_spec_is_reported_and_the_daemon_starts",
        ),
    ),
    Behaviour(
        "A gibibyte of output comes back byte for byte",
        "P1",
        (
            "fault/test_large_output.py::test_a_gibibyte_of_output_comes_back_byte_for_byte_and_costs_the_daemon_no_memory",
            "runner/test_output.py::test_a_few_hundred_megabytes_arrive_byte_for_byte",
            "runner/test_output.py::test_the_portable_pump_is_byte_exact_too",
        ),
    ),
    Behaviour(
        "Clients that race start exactly one daemon, in a session of its own",
        "P1",
        (
            "protocol/test_autostart.py::test_clients_that_race_start_one_daemon",
            "protocol/test_autostart.py::test_the_daemon_is_nobodys_child_in_a_session_of_its_own_at_the_root",
            "fault/test_daemon_death.py::test_many_clients_that_find_no_daemon_start_exactly_one",
        ),
    ),
    Behaviour(
        "A follow continues at its cursor over a restart of the daemon",
        "P1",
        (
            "cli/test_reconnect.py::test_a_follow_continues_at_its_cursor",
            "fault/test_daemon_death.py::test_a_follow_and_a_wait_are_told_that_the_daemon_went_and_continue_at_their_cursor",
        ),
    ),
    Behaviour(
        "Where there is no subreaper, who escaped is found and killed all the same, and a receipt claims no proof",
        "explanation/architecture.md",
        (
            "runner/test_portable.py::test_nobody_escapes_a_kill",
            "runner/test_portable.py::test_who_escaped_is_found_when_the_job_ends_and_its_own_end_is_noticed",
            "runner/test_portable.py::test_a_job_whose_runner_was_killed_goes_on_and_then_is_lost",
        ),
    ),
    Behaviour(
        "A kill ends the whole tree, also what called setsid, forked twice, ignores signals or is stopped",
        "P2",
        (
            "runner/test_kill.py::test_nobody_escapes",
            "daemon/test_kill.py::test_kill_ends_the_whole_tree_and_answers_with_a_receipt",
            "cli/test_kill.py::test_the_whole_tree_is_gone_and_the_receipt_names_it",
        ),
    ),
    Behaviour(
        "A kill begins politely and ends with SIGKILL after the grace",
        "P2",
        (
            "runner/test_kill.py::test_a_kill_begins_politely",
            "runner/test_kill.py::test_after_the_grace_comes_sigkill",
            "daemon/test_kill.py::test_a_process_that_ignores_the_stop_signal_gets_kill_after_the_grace",
        ),
    ),
    Behaviour(
        "A kill goes on when whoever asked for it, or the daemon, goes away",
        "P2",
        (
            "runner/test_kill.py::test_a_kill_whose_asker_goes_away_goes_on",
            "fault/test_daemon_death.py::test_a_daemon_killed_during_a_kill_does_not_stop_the_kill",
        ),
    ),
    Behaviour(
        "A rescued job can be killed with its whole tree",
        "P2",
        (
            "runner/test_rescue.py::test_a_successor_kills_the_whole_tree",
            "runner/test_rescue.py::test_a_kill_by_one_successor_leaves_other_rescued_jobs_alone",
        ),
    ),
    Behaviour(
        "A fork bomb is ended",
        "P2",
        ("runner/test_kill.py::test_a_fork_bomb_is_ended",),
    ),
    Behaviour(
        "What outlives the main process is reported, and killed on request",
        "P2",
        (
            "runner/test_left_behind.py::test_the_job_ends_with_its_main_process_and_says_who_is_left",
            "daemon/test_kill.py::test_what_a_job_left_behind_is_reported_and_killed_on_request",
            "runner/test_left_behind.py::test_leftovers_are_ended_where_that_was_asked_for",
        ),
    ),
    Behaviour(
        "Success is reported only with a wait status that says so",
        "P3",
        (
            "policy/test_outcome.py::test_success_is_never_reported_without_a_wait_status_that_says_so",
            "cli/test_exit_status.py::test_only_a_completed_job_is_a_success",
            "store/test_job_view.py::test_a_lost_job_claims_nothing_that_nobody_saw",
        ),
    ),
    Behaviour(
        "A job that may have run is lost rather than run twice or called completed",
        "P3",
        ("runner/test_rescue.py::test_a_job_that_may_have_run_is_lost_rather_than_run_again",),
    ),
    Behaviour(
        "What was left out of an answer is stated to the byte",
        "P3",
        (
            "daemon/test_output.py::test_over_the_budget_head_and_tail_are_kept_with_the_exact_gap",
            "store/test_logs.py::test_any_read_covers_its_range_exactly",
            "cli/test_output.py::test_what_was_dropped_is_told_beside_the_data_to_the_byte",
            "mcp/test_surface.py::test_a_gap_is_exact_and_can_be_read",
        ),
    ),
    Behaviour(
        "Reading on from each cursor gives every byte once",
        "P3",
        (
            "store/test_logs.py::test_reading_on_from_each_cursor_gives_every_byte_once",
            "daemon/test_output.py::test_a_cursor_continues_exactly_where_the_last_reply_ended",
        ),
    ),
    Behaviour(
        "A value that was tightened is reported, a bad one is an error and never the default",
        "P3",
        (
            "daemon/test_config.py::test_a_bad_value_is_an_error_that_names_key_value_and_place",
            "mcp/test_drop_in.py::test_a_bad_value_is_an_error_of_every_call_and_not_the_default",
        ),
    ),
    Behaviour(
        "Beyond its cap a job keeps the beginning and the end of its output",
        "P4",
        (
            "runner/test_output.py::test_beyond_the_cap_the_middle_goes_and_the_gap_is_exact",
            "daemon/test_output.py::test_output_beyond_the_cap_keeps_head_and_tail_and_states_the_gap",
        ),
    ),
    Behaviour(
        "The memory of the daemon does not grow with output",
        "P4",
        (
            "fault/test_large_output.py::test_a_gibibyte_of_output_comes_back_byte_for_byte_and_costs_the_daemon_no_memory",
            "store/test_logs.py::test_the_tail_of_ten_gigabytes_reads_and_holds_next_to_nothing",
            "store/test_search.py::test_memory_does_not_follow_from_the_size_of_the_log",
        ),
    ),
    Behaviour(
        "Everyday tasks take few calls, and show an agent what matters in few bytes",
        "reference/agent-economy.md",
        (
            "economy/test_economy.py::test_six_everyday_tasks_take_few_calls_and_show_all_that_matters",
            "mcp/test_surface.py::test_good_news_is_short_and_bad_news_has_more_to_it",
            "mcp/test_waiting.py::test_the_line_that_matched_is_told_where_the_output_shown_does_not_have_it",
        ),
    ),
    Behaviour(
        "An agent is told which of its arguments could not be taken as they were",
        "P3",
        (
            "mcp/test_surface.py::test_what_could_not_be_taken_as_it_was_is_said",
            "mcp/test_waiting.py::test_a_clamp_is_reported",
        ),
    ),
    Behaviour(
        "Progress of pip, npm, docker, tqdm, cargo and apt is read in its final state, as a full terminal shows it",
        "reference/mcp-tools.md",
        (
            "mcp/test_recordings.py::test_progress_is_its_final_state_and_stands_for_every_byte",
            "mcp/test_recordings.py::test_it_is_what_a_full_terminal_shows_in_the_end",
            "mcp/test_terminal.py::test_pieces_and_gaps_cover_whatever_was_written",
            "mcp/test_view.py::test_text_plus_gaps_is_the_raw_log",
        ),
    ),
    Behaviour(
        "A read never returns more than was asked for",
        "P4",
        (
            "mcp/test_surface.py::test_no_result_is_over_what_clients_take",
            "mcp/test_surface.py::test_a_smaller_budget_is_kept",
            "store/test_search.py::test_a_result_always_fits_a_frame",
        ),
    ),
    Behaviour(
        "An idle instance makes no wake-ups",
        "P5",
        (
            "daemon/test_idle.py::test_nobody_wakes_up_while_jobs_are_idle_and_clients_wait",
            "runner/test_limits.py::test_idle_processes_do_not_wake_up",
        ),
    ),
    Behaviour(
        "A wait ends with the job, a line, a port, or silence",
        "P5",
        (
            "daemon/test_wait.py::test_wait_without_a_condition_is_the_jobs_end",
            "daemon/test_wait.py::test_a_pattern_fires_on_the_line_also_before_its_newline",
            "daemon/test_wait.py::test_a_port_fires_when_a_process_of_the_job_listens",
            "daemon/test_wait.py::test_quiet_fires_when_nothing_was_written_for_that_long",
        ),
    ),
    Behaviour(
        "Only the same user can connect",
        "P6",
        (
            "daemon/test_connection.py::test_the_socket_and_its_directories_are_open_to_this_user_alone",
            "fault/test_storage.py::test_another_user_cannot_connect_even_if_the_socket_lets_him",
            "fault/test_storage.py::test_a_runtime_directory_of_somebody_else_is_refused_with_the_reason",
            "protocol/test_autostart.py::test_a_socket_directory_of_somebody_else_is_not_trusted",
        ),
    ),
    Behaviour(
        "Values of environment variables appear in no answer and in no log",
        "P6",
        (
            "daemon/test_submit.py::test_environment_values_are_in_no_reply_and_not_in_the_daemons_log",
            "store/test_job_view.py::test_environment_values_never_appear",
            "runner/test_spawn.py::test_a_runner_shows_nothing_of_the_command_in_its_argv",
        ),
    ),
    Behaviour(
        "A slow or dead reader costs bounded memory and harms nobody",
        "P7",
        (
            "fault/test_bad_clients.py::test_a_client_that_never_reads_its_follow_costs_bounded_memory_and_harms_no_other",
            "fault/test_bad_clients.py::test_a_client_that_asks_and_never_reads_is_not_read_any_more",
            "runner/test_control.py::test_a_peer_that_does_not_read_is_dropped",
        ),
    ),
    Behaviour(
        "Junk and cut frames harm nobody",
        "P7",
        (
            "fault/test_bad_clients.py::test_random_bytes_from_many_clients_harm_nobody",
            "daemon/test_connection.py::test_junk_is_answered_with_the_reason_and_hung_up_on",
            "daemon/test_connection.py::test_a_frame_cut_off_by_the_clients_death_harms_nobody",
        ),
    ),
    Behaviour(
        "300 jobs submitted at once end right and leave nothing in the daemon",
        "P7",
        ("fault/test_burst.py::test_300_jobs_submitted_at_once_end_right_and_leave_nothing_in_the_daemon",),
    ),
    Behaviour(
        "A stubborn job does not slow other requests",
        "P7",
        ("fault/test_bad_clients.py::test_one_client_killing_a_stubborn_job_does_not_slow_another",),
    ),
    Behaviour(
        "Jobs beyond max_jobs wait and start in order",
        "reference/config.md",
        ("daemon/test_submit.py::test_jobs_beyond_max_jobs_are_queued_and_start_in_order",),
    ),
    Behaviour(
        "A job runs with the environment, directory and umask of its submitter",
        "reference/config.md",
        (
            "daemon/test_submit.py::test_a_job_has_the_callers_environment_directory_and_umask_and_knows_its_id",
            "cli/test_run.py::test_the_job_gets_our_directory_environment_and_umask",
        ),
    ),
    Behaviour(
        "Ended jobs are kept by number, age and size as configured, and 100,000 of them slow nobody down",
        "reference/config.md",
        (
            "daemon/test_retention.py::test_the_configured_limits_are_kept_when_jobs_end_and_at_the_start",
            "store/test_history.py::test_no_query_looks_at_more_than_it_returns",
            "cli/test_large_history.py::test_everything_answers_with_a_long_history_and_a_prune_keeps_nobody_waiting",
        ),
    ),
    Behaviour(
        "What a job used is that of its whole tree, also of what was orphaned or killed",
        "reference/protocol.md",
        (
            "daemon/test_usage.py::test_the_processor_time_of_the_whole_tree_counts",
            "daemon/test_usage.py::test_what_was_killed_counts",
            "daemon/test_usage.py::test_the_peak_of_any_process_is_kept",
        ),
    ),
    Behaviour(
        "Behind a socket of systemd only what needs the daemon starts it",
        "how-to/run-as-a-service.md",
        ("cli/test_service.py::test_who_needs_the_daemon_starts_the_service_and_who_only_looks_does_not",),
    ),
    Behaviour(
        "`status` says first what a job is doing, and a person who waits sees it on a line that wakes nobody",
        "reference/cli.md",
        (
            "cli/test_job_report.py::test_a_running_job_says_what_it_is_doing_first",
            "cli/test_wait.py::test_a_person_sees_how_the_job_is_doing_until_it_ends",
            "daemon/test_idle.py::test_nobody_wakes_up_while_jobs_are_idle_and_clients_wait",
        ),
    ),
    Behaviour(
        "What the verbs of the command line say is what is written, word for word",
        "reference/cli.md",
        ("cli/test_transcripts.py::test_the_transcript_is_as_it_is_written",),
    ),
    Behaviour(
        "The events of a job end when it is forgotten, and a number that no event has is refused",
        "reference/events.md",
        (
            "cli/test_events.py::test_the_events_of_a_job_end_when_it_is_forgotten",
            "cli/test_events.py::test_a_number_that_no_event_has_yet_is_refused_and_the_newest_is_fine",
            "cli/test_events.py::test_events_that_are_not_kept_any_more_are_told",
        ),
    ),
    Behaviour(
        "The same idempotency key returns the first job",
        "reference/protocol.md",
        (
            "daemon/test_submit.py::test_the_same_idempotency_key_returns_the_first_job_and_another_request_is_an_error",
            "mcp/test_surface.py::test_an_idempotency_key_starts_one_job",
        ),
    ),
    Behaviour(
        "Unknown fields are ignored and an unknown operation is unsupported",
        "reference/protocol.md",
        (
            "daemon/test_connection.py::test_unknown_fields_are_ignored_and_an_unknown_op_is_unsupported",
            "protocol/test_conversation.py::test_another_minor_version_and_unknown_fields_are_fine",
        ),
    ),
    Behaviour(
        "Another major version is told how to go on",
        "reference/protocol.md",
        (
            "daemon/test_connection.py::test_another_protocol_major_is_told_how_to_go_on",
            "protocol/test_client.py::test_another_protocol_major_is_a_mismatch",
        ),
    ),
    Behaviour(
        "Every error code has an exit status and a next step for an agent",
        "reference/errors-and-exit-statuses.md",
        (
            "arch/test_names.py::test_every_error_code_has_an_exit_status",
            "mcp/test_tools_table.py::test_every_error_code_has_a_next_step",
            "mcp/test_surface.py::test_whatever_is_refused_the_answer_says_what_to_do_next",
            "mcp/test_bugs.py::test_a_bug_is_an_error_that_says_so_and_its_traceback_is_logged",
        ),
    ),
    Behaviour(
        "A session in the resident host has the surroundings and settings of its own client, and of no other",
        "reference/mcp-tools.md",
        (
            "mcp/test_host.py::test_many_clients_at_once_have_each_their_own_surroundings",
            "mcp/test_host.py::test_each_client_has_its_own_settings",
            "mcp/test_host.py::test_what_is_wrong_stands_on_the_standard_error_of_the_client_it_concerns",
        ),
    ),
    Behaviour(
        "Whatever is killed of client's process, host and daemon, the job goes on and the next session has it",
        "P1",
        (
            "mcp/test_host.py::test_whatever_is_killed_in_whatever_order_the_job_goes_on_and_the_next_session_has_it",
            "mcp/test_host.py::test_a_host_that_is_killed_ends_its_sessions_with_a_word_and_no_job",
            "mcp/test_host.py::test_a_signal_ends_the_session_quietly_and_leaves_nothing_in_the_host",
        ),
    ),
    Behaviour(
        "No session needs the host, and none is lost when it leaves",
        "design/0011-the-resident-host.md",
        (
            "mcp/test_host.py::test_the_first_session_starts_the_host_which_serves_the_next_and_outlives_both",
            "mcp/test_host.py::test_a_session_that_comes_as_the_host_leaves_loses_nothing",
            "mcp/test_host.py::test_where_the_host_is_not_wanted_none_is_used_and_none_is_started",
            "mcp/test_host.py::test_a_host_without_sessions_ends_and_leaves_nothing",
        ),
    ),
    Behaviour(
        "A newer version takes the place of a host, which finishes its sessions",
        "reference/mcp-tools.md",
        (
            "mcp/test_host.py::test_a_newer_version_gets_the_place_and_the_old_host_finishes_its_sessions",
            "mcp/test_host.py::test_an_older_version_is_told_to_serve_itself_and_the_host_stays",
            "mcp/test_host.py::test_an_upgrade_and_the_way_back_with_two_real_versions",
        ),
    ),
    Behaviour(
        "A client that does not read, a hello that is none, and a session that is over cost the others nothing",
        "P7",
        (
            "mcp/test_host.py::test_a_client_that_does_not_read_holds_up_nobody_and_misses_nothing",
            "mcp/test_host.py::test_a_hello_that_is_none_ends_that_session_alone",
            "mcp/test_host.py::test_a_session_that_is_over_leaves_neither_memory_nor_a_descriptor",
        ),
    ),
    Behaviour(
        "The host serves its own user only, and gets the environment of its own user only",
        "P6",
        ("mcp/test_host.py::test_another_user_is_refused_by_either_side",),
    ),
    Behaviour(
        "A configuration of mcp-background-job moves over unchanged",
        "reference/config.md",
        (
            "mcp/test_drop_in.py::test_its_configuration_moves_over_unchanged",
            "mcp/test_drop_in.py::test_the_tools_of_the_readme_are_listed_with_their_parameters",
        ),
    ),
    Behaviour(
        "The tutorial happens as it is written",
        "tutorial/first-job.md",
        ("arch/test_examples.py::test_the_tutorial_happens_as_it_is_written",),
    ),
    Behaviour(
        "A wait that a client takes as a task outlives the server process, and the daemon, that it was asked of",
        "reference/mcp-tools.md",
        (
            "mcp/test_tasks.py::test_a_task_of_one_process_is_collected_through_another",
            "mcp/test_tasks.py::test_a_task_survives_the_daemon_and_the_process_that_made_it",
            "daemon/test_tasks.py::test_a_task_survives_the_daemons_death_and_sees_what_happened_meanwhile",
        ),
    ),
    Behaviour(
        "Cancelling a task ends the wait and never the job",
        "reference/mcp-tools.md",
        (
            "mcp/test_tasks.py::test_cancelling_a_task_through_another_process_ends_the_wait_and_not_the_job",
            "daemon/test_tasks.py::test_cancelling_a_task_ends_the_wait_and_never_the_job",
        ),
    ),
    Behaviour(
        "Over HTTP nobody gets in without the token, nor from a foreign page",
        "P6",
        (
            "mcp/test_http.py::test_without_the_token_nobody_gets_in",
            "mcp/test_http.py::test_a_foreign_host_or_origin_is_refused_with_the_token_too",
            "mcp/test_http.py::test_it_does_not_serve_what_anybody_could_use",
        ),
    ),
    Behaviour(
        "Entering the server into a client's configuration changes nothing else in it",
        "how-to/use-from-an-agent.md",
        (
            "mcp/test_install.py::test_one_member_is_added_and_the_rest_stays_byte_for_byte",
            "mcp/test_install.py::test_codex_keeps_comments_order_and_other_servers",
            "mcp/test_install.py::test_install_keeps_a_copy_and_is_done_once",
        ),
    ),
    Behaviour(
        "A job can be joined, left and joined again from any terminal, which is put back as it was",
        "how-to/attach.md",
        (
            "cli/test_attach.py::test_keys_go_in_and_output_comes_out_and_the_job_goes_on_after_detaching",
            "cli/test_attach.py::test_the_terminal_is_as_it_was_after_detaching_and_after_the_end",
            "cli/test_attach.py::test_the_terminal_fits_into_the_smallest_window",
            "cli/test_attach.py::test_a_killed_client_changes_nothing_for_the_job",
            "cli/test_attach_recovery.py::test_a_killed_daemon_is_replaced_and_nothing_is_lost",
        ),
    ),
    Behaviour(
        "A secret that a person types for a job is in no output and no log, and is sent only while it is hidden",
        "how-to/attach.md",
        (
            "cli/test_answer.py::test_what_a_person_types_reaches_the_job_and_is_shown_nowhere",
            "cli/test_answer.py::test_a_job_that_stops_asking_meanwhile_gets_nothing",
            "daemon/test_asking.py::test_a_secret_is_sent_only_while_the_terminal_hides_it_and_is_nowhere",
        ),
    ),
    Behaviour(
        "A terminal survives the death of its runner, byte for byte",
        "P1",
        (
            "runner/test_terminal.py::test_a_killed_runner_loses_no_byte_of_a_terminal",
            "runner/test_terminal.py::test_the_successor_of_a_runner_serves_the_same_terminal",
        ),
    ),
    Behaviour(
        "Whether a job waits for input is known by evidence, or said to be unknown",
        "design/0010-waiting-for-input.md",
        (
            "daemon/test_asking.py::test_whoever_waits_for_input_is_found_with_the_prompt_and_the_mode",
            "daemon/test_asking.py::test_whoever_does_not_wait_is_not_said_to",
        ),
    ),
    Behaviour(
        "A screen is what a terminal shows, and a painting of it makes another one show the same",
        "how-to/attach.md",
        (
            "policy/test_picture.py::test_a_screen_is_what_a_terminal_shows",
            "policy/test_picture.py::test_a_painting_shows_what_was_painted",
            "policy/test_picture.py::test_after_a_painting_output_goes_on_as_it_would_have",
            "cli/test_own_terminal.py::test_what_a_program_has_set_is_undone_also_when_it_comes_in_pieces",
        ),
    ),
    Behaviour(
        "An agent is told when a job waits for input, what it asks, and who has to answer",
        "reference/mcp-tools.md",
        (
            "mcp/test_dialogue.py::test_a_wait_ends_when_the_job_asks_and_the_answer_says_what_and_who_answers",
            "mcp/test_dialogue.py::test_one_job_that_asks_ends_the_wait_for_all",
            "mcp/test_dialogue.py::test_what_the_agent_knows_does_not_end_its_wait_again",
            "mcp/test_dialogue.py::test_a_secret_is_asked_of_a_person_and_shown_to_nobody",
        ),
    ),
    Behaviour(
        "An agent reads the screen of a full-screen program and presses keys in it",
        "reference/mcp-tools.md",
        (
            "mcp/test_dialogue.py::test_a_full_screen_program_is_read_and_driven",
            "mcp/test_dialogue.py::test_keys_have_names_and_need_a_terminal",
        ),
    ),
)
