"""Deliberate faults in the code that keeps the promises, each with the tests that are to catch it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FAULTS", "Edit", "Fault"]


@dataclass(frozen=True)
class Edit:
    """In the file `path`, `old` becomes `new`. old: stands there just once."""

    path: str
    old: str
    new: str


@dataclass(frozen=True)
class Fault:
    """name: what goes wrong, in a few words. tests: as pytest takes them, the fewest that catch it."""

    name: str
    tests: tuple[str, ...]
    edits: tuple[Edit, ...]


def _fault(name: str, test: str, *edits: tuple[str, str, str]) -> Fault:
    return Fault(name, (f"tests/{test}",), tuple(Edit(f"imagegen/{path}", old, new) for path, old, new in edits))


_POWER = "faults/test_power_loss.py::test_nothing_recorded_is_lost_or_made_twice"
_COMFYUI = "faults/test_misbehaving_comfyui.py::test_a_fault_is_told_or_waited_out_and_the_next_run_makes_it_right"
_LOCK = "state/test_lockfile.py::"
_BRANCHES = "faults/test_two_branches.py::"

FAULTS = (
    _fault(
        "the sync of what was written is skipped",
        f"{_POWER}[new-names at once]",
        ("state/atomic.py", "    if sync:\n        os.fsync(descriptor)\n", ""),
    ),
    _fault(
        "the sync of a line is skipped",
        f"{_POWER}[new-names at once]",
        ("state/journal.py", "            os.fsync(descriptor)\n", "            pass\n"),
    ),
    _fault(
        "what is written during a sync counts as on disk",
        "state/test_journal.py",
        ("state/journal.py", "[added for added in tail.unsynced if added not in synced]", "[]"),
    ),
    _fault(
        "the sync of a folder is skipped",
        "faults/test_power_loss.py::test_what_a_build_has_made_outlasts_it[new-only what was synced]",
        ("state/atomic.py", "        try:\n            os.fsync(descriptor)\n", "        try:\n            pass\n"),
    ),
    _fault(
        "a new folder's own folder is not synced",
        f"{_POWER}[new-only what was synced]",
        ("state/atomic.py", "folder.mkdir(exist_ok=True)\n            sync_folder(folder.parent)", "folder.mkdir()"),
    ),
    _fault(
        "an output is written in place, not renamed into place",
        "endtoend/test_kill.py::test_the_places_cover_every_step_of_writing",
        ("state/atomic.py", "        written.replace(path)", "        path.write_bytes(written.read_bytes())"),
    ),
    _fault(
        "an output is in place before its line is recorded",
        f"{_POWER}[replacing-names at once]",
        (
            "execute/build_image.py",
            "    record()\n    line = project.lock(output.job).line_of(output.path, sha256)\n",
            "    replace_file(project.root / output.path, data, project.temporary)\n    record()\n"
            "    line = project.lock(output.job).line_of(output.path, sha256)\n",
        ),
    ),
    _fault(
        "the store's index names an image before it is there",
        f"{_POWER}[new-names at once]",
        (
            "execute/generation.py",
            "        sha256 = project.store.put(made.data)\n",
            "        sha256 = hashlib.sha256(made.data).hexdigest()\n",
        ),
        (
            "execute/generation.py",
            "else project.store).add(entry)\n",
            "else project.store).add(entry)\n            project.store.put(made.data)\n",
        ),
    ),
    _fault(
        "images are generated though the store cannot keep them",
        "faults/test_disk_full.py::test_nothing_is_lost_and_all_is_right_once_there_is_room[new-full]",
        ("execute/executor.py", "self._not_stored = NotStoredError(error.cause)\n", "pass\n"),
    ),
    _fault(
        "images that took long are generated before the earlier one is in the store",
        "faults/test_disk_full.py::test_nothing_is_lost_and_all_is_right_once_there_is_room[new-full]",
        ("execute/generation.py", "and self._seconds < CHEAP_S", ""),
    ),
    _fault(
        "images are paid for past the budget",
        "execute/test_paid_images.py::test_the_budget_is_never_passed_and_what_costs_nothing_goes_on",
        ("execute/budget.py", "if price is None or price > left:", "if False:"),
    ),
    _fault(
        "an image that is dearer than the whole budget holds up other jobs",
        "endtoend/test_budget.py::test_an_image_dearer_than_the_budget_holds_up_its_own_job_only",
        ("execute/budget.py", "elif price > limit:", "elif False:"),
    ),
    _fault(
        "it is not said beforehand that an image may have been paid for already",
        "endtoend/test_budget.py::test_after_a_kill_between_request_and_answer_the_next_run_says_that_it_may_have_been_paid_for",
        ("execute/forecast.py", "cost != 0 and _may_be_paid", "False and _may_be_paid"),
    ),
    _fault(
        "the prices of images in progress do not count",
        "execute/test_budget.py::test_threads_never_pass_the_limit_together",
        ("execute/budget.py", "self._reserved += price or 0", "pass"),
    ),
    _fault(
        "an image that was paid for is verified before it is in the store",
        "execute/test_paid_images.py::test_it_is_in_the_store_before_it_is_verified",
        (
            "execute/generation.py",
            "paid = self._store(made) if self.payment.is_due else None",
            "paid = None",
        ),
    ),
    _fault(
        "what was paid for and cannot be decoded is paid for again",
        "execute/test_paid_images.py::test_what_cannot_be_decoded_is_kept_and_nothing_more_is_paid_for",
        ("execute/executor.py", "(path := find_paid_image(self.project, output))", "(path := '')"),
    ),
    _fault(
        "the part of a line that fitted on a full disk is left",
        "state/test_journal.py",
        ("state/journal.py", "            os.ftruncate(descriptor, size)\n", "            pass\n"),
    ),
    _fault(
        "an image is replaced and not kept",
        f"{_POWER}[replacing-names at once]",
        ("execute/build_image.py", "    store_current_file(project, output)\n    record()", "    record()"),
    ),
    _fault(
        "a file that somebody changed meanwhile is replaced",
        "execute/test_executor.py::test_a_file_that_appears_while_its_image_is_made_is_not_replaced",
        ("execute/build_image.py", 'if verdict.state != "stale":\n        raise', "if False:\n        raise"),
    ),
    _fault(
        "a touched-up file is replaced when its request changes",
        "plan/test_freshness.py::test_a_file_touched_up_whose_request_changed",
        ("plan/freshness.py", 'Verdict("blocked", reasons, note, line)', "_replaceable(output, reasons, line)"),
    ),
    _fault(
        "placeholder replaces an image of another backend",
        "plan/test_freshness.py::test_placeholder_never_replaces_an_image_of_a_real_backend",
        ("plan/freshness.py", "output.request.backend == PLACEHOLDER != line.backend", "False"),
    ),
    _fault(
        "an image from the store is not checked against its sha256",
        "state/test_store.py::test_a_flipped_bit_is_noticed_and_mended_by_the_next_put",
        ("state/store.py", "return data if hashlib.sha256(data).hexdigest() == sha256 else None", "return data"),
    ),
    _fault(
        "a download is not checked against its sha256",
        "backends/test_download.py::test_another_sha256_is_refused_and_nothing_is_kept",
        ("backends/download.py", "if part.sha256 != remote.sha256:\n            found", "if False:\n            found"),
    ),
    _fault(
        "an archive may write outside its folder",
        "backends/test_archive.py::test_what_leads_out_of_a_zip_is_refused",
        ("backends/archive.py", 'or ".." in path.parts', "or False"),
    ),
    _fault(
        "a link in an archive may lead outside its folder",
        "backends/test_archive.py::test_what_leads_out_of_a_zip_is_refused",
        ("backends/archive.py", "    if not is_inside or PurePosixPath(target).is_absolute():", "    if False:"),
    ),
    _fault(
        "a build is lost if a set-up is killed while it is replaced",
        "backends/test_pinned_program.py::test_killed_at_whichever_step_one_build_is_whole_and_the_next_set_up_goes_on",
        ("backends/pinned_program.py", "        pin.target.replace(pin.old)", "        shutil.rmtree(pin.target)"),
    ),
    _fault(
        "a field is not in the fingerprint",
        "plan/test_request.py",
        ("plan/request.py", "    for name in parameters:", '    for name in set(parameters) - {"cfg"}:'),
    ),
    _fault(
        "a file changed within the tick of looking is not read again",
        "state/test_hashes.py",
        ("state/hashes.py", "if is_conclusive(key) else (NEVER, state)", "if True else (NEVER, state)"),
    ),
    _fault(
        "a line is appended to one that a kill cut off",
        f"{_LOCK}test_a_torn_last_line_never_counts_and_is_cut_off_before_anything_is_appended",
        ("state/journal.py", "if content.truncated_at is not None:", "if False:"),
    ),
    _fault(
        "of two marks of one image the one further down counts, not the later one",
        "state/test_review_file.py::test_the_union_of_two_branches_says_the_same_in_any_order",
        ("state/review_file.py", "= max(remark, self.remarks.get(key, remark),", "= max(remark, remark,"),
    ),
    _fault(
        "people who mark at the same time write over each other",
        "state/test_review_file.py::test_nothing_is_lost_of_what_several_say_at_once",
        ("state/review_file.py", "    with hold(own, max(wait_s, _WAIT_S)):", "    if True:"),
    ),
    _fault(
        "a mark of another version counts as one of this",
        "commands/test_mark.py::test_a_mark_is_about_the_picture_that_was_looked_at",
        ("plan/remark.py", "return self.sha256 is None or self.sha256 == sha256", "return True"),
    ),
    _fault(
        "an output's first line counts, not the one of its file",
        f"{_LOCK}test_the_line_of_the_file_on_disk_counts_else_the_newest",
        ("state/lockfile.py", "if line.sha256 == sha256:\n                return line", "return lines[0]"),
    ),
    _fault(
        "lines of a newer release are taken",
        f"{_BRANCHES}test_a_lock_file_of_a_newer_release_stops_its_job_whatever_is_asked_and_no_other",
        ("state/json_line.py", "    if found > version:", "    if False:"),
    ),
    _fault(
        "of merged decisions the later one counts, not that of the file",
        f"{_BRANCHES}test_where_both_decided_about_the_same_image_the_file_that_was_chosen_decides",
        ("plan/record.py", "        if all(_is_in_place(decision,", "        if not all(_is_in_place(decision,"),
    ),
    _fault(
        "a decision does not name the one it replaces",
        f"{_BRANCHES}test_a_reroll_that_was_killed_before_its_image_stands",
        ("execute/decisions.py", "before(replaced)", "()"),
    ),
    _fault(
        "a build does not take the mutex",
        "state/test_mutex.py",
        ("state/mutex.py", "        _acquire(lock, wait_s, stop)\n", ""),
    ),
    _fault(
        "a build that waited does not read what the other wrote",
        "endtoend/test_staleness.py::test_a_build_that_waited_takes_the_seeds_that_the_other_drew",
        ("execute/run.py", "    if not project.reload_from_disk():", "    if True:"),
    ),
    _fault(
        "a build that waited does not plan again",
        "faults/test_two_builds.py::test_who_waited_makes_what_is_an_image_by_then",
        ("execute/run.py", "    if not project.reload_from_disk():", "    project.reload_from_disk()\n    if True:"),
    ),
    _fault(
        "a random seed is not recorded before it is used",
        "endtoend/test_staleness.py::test_a_build_that_waited_takes_the_seeds_that_the_other_drew",
        ("execute/decisions.py", "    record_decision(project, output.job, SEED, output.full_slug, seed)\n", ""),
    ),
    _fault(
        "files that somebody changed are pruned",
        "execute/test_prune.py::test_what_somebody_changed_is_never_removed",
        ("execute/prune.py", "elif state is not None and line.sha256 != state.sha256:", "elif False:"),
        ("execute/prune.py", "if hashlib.sha256(data).hexdigest() == line.sha256:", "if True:"),
    ),
    _fault(
        "a prompt whose answer was lost is posted again without asking",
        f"{_COMFYUI}[POST reset after it arrived]",
        (
            "backends/comfyui/connection.py",
            "if self.has_prompt(prompt_id, progress):\n                    return\n                if is_last:",
            "if is_last:",
        ),
    ),
    _fault(
        "redirects are followed",
        "backends/comfyui/test_client.py::test_a_redirect_is_told_and_not_followed",
        ("backends/json_api.py", "allow_redirects=False,", "allow_redirects=True,"),
        (
            "backends/http.py",
            "    def get_redirect_target(self, resp: requests.Response) -> None:",
            "    def _unused(self, resp: requests.Response) -> None:",
        ),
    ),
    _fault(
        "the secret is sent to a server that a job names",
        "backends/comfyui/test_section.py",
        ("backends/comfyui/section.py", "[url for url in urls if url in settings.comfyui_server_urls]", "urls"),
    ),
    _fault(
        "the token is sent to every host that has a file",
        "backends/test_hugging_face.py::test_the_token_does_not_go_along_a_redirect_to_another_host",
        (
            "backends/download.py",
            "token = self._remote.find_token(url)",
            "token = self._remote.find_token(self._remote.url)",
        ),
    ),
    _fault(
        "an answer may be of any length",
        "faults/test_harmful_answers.py::test_an_image_without_end_is_cut_off_at_its_bound",
        ("backends/json_api.py", "        if data.tell() > limit:\n", "        if False:\n"),
    ),
    _fault(
        "control sequences reach the terminal",
        "faults/test_hostile_jobs.py::test_what_a_problem_quotes_is_cut_and_steers_no_terminal",
        ("errors.py", "    return re.sub(_CONTROL, lambda match: ascii(match[0])[1:-1], text)", "    return text"),
    ),
    _fault(
        "a symlink may lead out of the project",
        "faults/test_symlinks.py::test_a_folder_that_leads_out_is_refused",
        ("config/paths.py", "os.path.realpath(Path(real_root, path))", "os.path.normpath(Path(real_root, path))"),
    ),
    _fault(
        "aliases may make any number of values",
        "faults/test_hostile_jobs.py::test_a_hostile_document_is_refused_in_its_place",
        ("config/yaml_document.py", "        if self._aliased > MAX_ALIASED:", "        if False:"),
    ),
    _fault(
        "a truncated PNG is accepted",
        "images/test_image_file.py::test_every_cut_is_refused",
        ("images/formats.py", 'raise BadImage("the image is cut off: no IEND chunk at its end")', "return chunks"),
    ),
    _fault(
        "an AVIF without its last bytes is accepted",
        "images/test_avif.py::test_every_cut_is_refused",
        ("images/avif.py", "if not part[0] <= part[1] <= last:", "if False:"),
        ("images/avif.py", "        if end > len(data):\n", "        if False:\n"),
    ),
    _fault(
        "what decides whether an image is marked is not looked at",
        "execute/test_disclosure.py::test_without_metadata_no_file_is_marked",
        ("execute/disclosure.py", 'is_generated and line.encoding.metadata == "full" if', "is_generated if"),
    ),
    _fault(
        "a cell of a table is taken for a formula",
        "report/test_disclosure.py::test_no_cell_is_a_formula",
        ("report/disclosure.py", """return f"'{text}" if text.startswith""", """return f"{text}" if text.startswith"""),
    ),
    _fault(
        "a backend's image is not verified",
        "execute/test_executor.py::test_what_is_no_image_of_the_size_asked_for_is_refused",
        (
            "execute/generation.py",
            "        else:\n            file = self._verify(made)\n",
            "        else:\n            file = None\n",
        ),
    ),
    _fault(
        "images are queued after a failed preflight",
        "execute/test_executor.py::test_nothing_of_a_job_is_queued_after_a_failed_preflight_and_other_jobs_go_on",
        ("execute/executor.py", "return problems is not None", "return True\n        return True"),
    ),
    _fault(
        "an item that changed is taken for fresh",
        "project/test_plan_changed.py::test_only_what_changed_is_planned",
        ("project/affected.py", "new = [part for text, part in now.items() if text not in before]", "new = []"),
    ),
    _fault(
        "a changed item takes the file of an image that was not planned",
        "project/test_plan_changed.py::test_a_file_of_another_job_is_not_taken",
        ("project/plan_changed.py", "if any(isinstance(one, Output) for pair", "if False and any(one for pair"),
    ),
    _fault(
        "images that are not uploaded yet are pruned",
        "execute/test_shared_store.py::test_what_has_yet_to_go_up_is_not_pruned",
        ("execute/prune.py", "store_bytes, project.upload_queue.blobs())", "store_bytes, set())"),
    ),
    _fault(
        "a model file that is cut short is taken",
        "backends/sd/test_model_header.py::test_a_file_that_is_cut_short_says_how_much_of_it_is_there",
        ("backends/sd/model_header.py", "    if needed > size:\n        raise _cut_short(size, needed)\n", ""),
    ),
    _fault(
        "a seed is sent that sd-server replaces by one of its own",
        "backends/sd/test_checks.py::test_a_seed_that_the_server_would_replace",
        ("backends/sd/field_checks.py", "_MAX_SEED = 2**63 - 1", "_MAX_SEED = 2**64"),
    ),
    _fault(
        "the image in progress at sd-server is not remembered",
        "backends/sd/test_runs.py::test_a_killed_run_makes_no_image_twice_and_the_next_takes_its_server_over",
        ("backends/sd/job.py", "self._note(self._job)\n                return", "return"),
    ),
    _fault(
        "another sampler than the one asked for is taken",
        "backends/sd/test_checks.py",
        ("backends/sd/field_checks.py", "and names and given not in names:", "and not names:"),
    ),
    _fault(
        "OpenAI's key is sent to a server that a job names",
        "backends/openai/test_section.py",
        ("backends/openai/section.py", "if is_for_it else", "if True else"),
    ),
    _fault(
        "OpenAI's key is sent without encryption",
        "backends/openai/test_section.py",
        (
            "backends/openai/section.py",
            'get_origin(url) == ("https", "api.openai.com", 443)',
            'get_origin(url)[1] == "api.openai.com"',
        ),
    ),
    _fault(
        "an image whose answer was lost is paid for again",
        "backends/test_retry.py::test_a_proxy_that_says_when_is_asked_again_unless_it_costs",
        ("backends/retry.py", "is_unsure = is_paid and error.status in _PROXIES", "is_unsure = False"),
    ),
    _fault(
        "it is not said that a lost image may have been paid for",
        "backends/test_retry.py::test_what_may_have_been_paid_for_is_said_and_not_asked_for_again",
        ("backends/retry.py", "and _may_be_made(error):", "and False:"),
    ),
    _fault(
        "a host that gets the key is not paid if a committed file names another dialect",
        "backends/openai/test_paid_answers.py::test_a_server_that_gets_the_key_is_paid_whatever_dialect_is_named",
        ("backends/openai/section.py", "or (bool(find_key(url)) and not is_private(url))", "or False"),
    ),
    _fault(
        "what was paid for is thrown away if it is not an image",
        "backends/openai/test_paid_answers.py::test_whatever_else_was_paid_for_is_kept_and_nothing_more_is_paid",
        ("backends/openai/server.py", 'data if keeps_all else b""', 'b""'),
    ),
    _fault(
        "OpenAI's key is sent to every path of a host",
        "backends/openai/test_section.py",
        ("backends/address.py", "path.startswith(above) and re.fullmatch(", "True or re.fullmatch("),
    ),
    _fault(
        "TLS that breaks off counts as a request that was not sent",
        "backends/test_tls.py",
        ("backends/http.py", "                    raise _broken(error) from None\n", "                    raise\n"),
    ),
    _fault(
        "a line break hides sd-server's parameters from it",
        "backends/openai/test_dialects.py::test_sd_server_s_parameters_come_through_in_one_line",
        ("backends/sd/prompt_tag.py", '"sample_params": sample})', '"sample_params": sample}, indent=1)'),
    ),
    _fault(
        "LocalAI makes a negative prompt of half a prompt",
        "backends/openai/test_checks.py",
        ("backends/openai/checks.py", "dialect.splits and dialect.splits in text", "False"),
    ),
    _fault(
        "a seed that a server does not have is sent as it is",
        "backends/a1111/test_requests.py::test_a_seed_of_ours_is_sent_as_one_that_the_server_takes_and_recorded",
        ("backends/limits.py", "return seed % (self.most_seed + 1)", "return seed"),
    ),
    _fault(
        "a sampler is sent as the job writes it",
        "backends/a1111/test_requests.py::test_a_sampler_is_sent_by_the_name_in_the_servers_list",
        ("backends/a1111/image.py", "server.samplers.get(request.sampler.lower(), request.sampler)", "request.sampler"),
    ),
    _fault(
        "what Draw Things shows gets into an image",
        "backends/a1111/test_requests.py::test_nothing_that_the_app_shows_gets_into_an_image",
        ("backends/a1111/image.py", "        **program.always,\n", ""),
    ),
    _fault(
        "another person's image is interrupted at A1111",
        "backends/a1111/test_turns.py::test_what_may_be_another_persons_is_stopped_only_where_the_job_allows_it",
        ("backends/a1111/generation.py", "self._before is not None and not self._before.job", "True"),
    ),
    _fault(
        "a half-done image of A1111's is kept",
        "backends/a1111/test_turns.py::test_a_half_done_image_of_which_somebody_had_enough_is_not_taken",
        ("backends/a1111/generation.py", "and self._was_stopped()", "and False"),
    ),
    _fault(
        "A1111's password is sent to a server that a job names",
        "backends/a1111/test_refusals.py::test_the_password_is_not_sent_to_a_server_that_a_job_names",
        ("backends/a1111/backend.py", "if url == self.context.settings.a1111_server_url else", "if True else"),
    ),
    _fault(
        "an image without its LoRAs is kept",
        "backends/a1111/test_answers.py::test_another_image_than_the_one_asked_for_is_not_kept",
        ("backends/a1111/image.py", 'loaded = "none"', 'loaded = ""'),
    ),
    _fault(
        "a name of somebody else's leads to the page",
        "review/test_access.py::test_a_host_that_is_not_its_own_is_refused",
        ("review/access.py", "not self._is_ours(hosts[0].lower(), scope)", "False"),
    ),
    _fault(
        "the page's secret need not be right",
        "review/test_access.py::test_without_the_secret_nothing_tells_what_there_is",
        ("review/access.py", "not secrets.compare_digest(first.encode(\"utf-8\", \"replace\"), self._secret)", "False"),
    ),
    _fault(
        "another site's page may change something",
        "review/test_access.py::test_what_changes_something_must_come_from_the_page",
        ("review/access.py", "headers.getlist(\"origin\") != [f\"http://{hosts[0].lower()}\"]", "False"),
    ),
    _fault(
        "another site's page may embed an image",
        "review/test_access.py::test_another_site_embeds_and_reads_nothing",
        ("review/access.py", "site not in (\"same-origin\", \"none\")", "False"),
    ),
    _fault(
        "an action that was not begun is run at the end of the page",
        "review/test_ending.py::test_what_is_running_is_finished_and_what_waits_is_cancelled",
        ("review/actions.py", "one for one in self.all.values() if one.state == \"waiting\"", "one for one in ()"),
    ),
    _fault(
        "Ctrl-C leaves what the page has begun behind",
        "review/test_ending.py::test_what_is_running_is_finished_and_what_waits_is_cancelled",
        ("review/server.py", "        await self.actions.wait_until_idle()\n", ""),
    ),
    _fault(
        "what waits for a page that sleeps grows without a bound",
        "review/test_streams.py",
        ("review/streams.py", "asyncio.Queue(_MOST_WAITING)", "asyncio.Queue()"),
    ),
    _fault(
        "an empty list of a program's own builds everything",
        "library/test_project.py::test_an_empty_list_builds_nothing",
        ("library/project.py", "        if not named:", "        if False:"),
    ),
    _fault(
        "what on_event raises is lost",
        "library/test_project.py::test_what_on_event_raises_is_raised_once_all_is_in_order",
        ("library/running_build.py", "            raise self._error\n", "            pass\n"),
    ),
    _fault(
        "a program goes on after Ctrl-C",
        "library/test_project.py::test_ctrl_c_is_raised_once_what_is_generated_is_stored",
        ("library/project.py", "            raise KeyboardInterrupt\n", "            pass\n"),
    ),
    _fault(
        "two threads share what a grammar checks",
        "config/test_checking.py::test_each_thread_has_a_grammar_of_its_own",
        ("config/grammar.py", "_latest = threading.local()", "_latest = Grammar"),
    ),
)  # fmt: skip
