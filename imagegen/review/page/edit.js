
// ---- edit: an item's prompt and settings, with the diff and what `doit why` says of it before it is written
(() => {
  const { $, element, section, dialog, at, pictures } = gallery;
  const { button, plural } = review;

  const MOST_LINES = 40; // of what `doit why` says

  // what was typed and not saved, by task: it outlives the view of its image, and the page
  const drafts = {
    all: () => { try { return JSON.parse(sessionStorage.getItem("imagegen-drafts")) || {}; } catch { return {}; } },
    of: (task) => drafts.all()[task] || {},
    keep: (task, values) => {
      const all = drafts.all();
      delete all[task];
      if (Object.keys(values).length) all[task] = values;
      try { sessionStorage.setItem("imagegen-drafts", JSON.stringify(all)); } catch { /* it is kept until the page ends */ }
    },
  };

  const form = element("form", { id: "edit", hidden: "", novalidate: "", "aria-labelledby": "edit-title" });
  $("detail-body").before(form);
  let open = null; // {task, item, inputs by key, typed by key, diff, problems, isOther}
  let asked = 0; // the number of the latest preview: an answer to an earlier one is too late
  let isAsking = false;
  let timer = 0;

  // ---- fields

  const idOf = (key) => `edit-${key.replaceAll(/[.:]/g, "-")}`;
  const range = ({ kind, least, most }) => {
    if (kind === "text" || least === null || most === null) return "";
    return `${kind === "whole" ? "a whole number" : "a number"} from ${least} to ${most > 1e15 ? "2⁶⁴−1" : most.toLocaleString("en")}`;
  };
  const noteOf = (field, value) => {
    if (field.locked) return field.locked;
    if (field.key === "prompt") return field.note;
    const otherwise = [field.note, field.now && !field.is_long ? field.now : ""].filter(Boolean).join(": ");
    if (value && !field.value) return `Added to the ${field.scope}.${otherwise ? ` Now ${otherwise}` : ""}`;
    if (!value && field.value) return `Taken out of the ${field.scope}.${otherwise ? ` Then ${otherwise}` : ""}`;
    return value ? `From the ${field.scope}` : field.note && `${field.note[0].toUpperCase()}${field.note.slice(1)}`;
  };
  const makeInput = (field, value) => {
    const shared = { id: idOf(field.key), name: field.key, autocomplete: "off", "aria-describedby": `${idOf(field.key)}-note ${idOf(field.key)}-error` };
    let input;
    if (field.is_long) {
      input = element("textarea", { ...shared, rows: "2", spellcheck: "true", dir: "auto", placeholder: field.now || (field.key === "prompt" ? "" : "none") });
    } else if (field.allowed.length) {
      input = element("select", shared, element("option", { value: "" }, field.now || "not set"),
        ...field.allowed.map((one) => element("option", { value: one }, one)));
    } else {
      const mode = { text: "text", whole: "numeric", number: "decimal" }[field.kind];
      input = element("input", { ...shared, type: "text", inputmode: mode, placeholder: field.now || "not set", spellcheck: "false",
        ...(field.known.length ? { list: `${idOf(field.key)}-known` } : {}) });
    }
    input.value = value;
    input.disabled = Boolean(field.locked);
    return input;
  };
  const fit = (input) => {
    if (input.tagName !== "TEXTAREA") return;
    input.style.height = "auto";
    input.style.height = `${input.scrollHeight + 2}px`;
  };
  const makeField = (field) => {
    const input = makeInput(field, open.typed[field.key] ?? field.value);
    open.inputs[field.key] = input;
    input.addEventListener("input", () => {
      open.typed[field.key] = input.value;
      if (input.value === fieldOf(field.key).value) delete open.typed[field.key];
      drafts.keep(open.task, open.typed);
      showNote(field.key);
      fit(input);
      previewSoon();
    });
    // as in a number input, which would say nothing of what is not a number
    if (field.kind !== "text") input.addEventListener("keydown", (event) => {
      const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
      const number = Number(input.value || field.now);
      if (!by || !Number.isSafeInteger(number)) return;
      event.preventDefault();
      input.value = String(Math.min(Math.max(number + by, field.least ?? -Infinity), field.most ?? Infinity));
      input.dispatchEvent(new Event("input"));
    });
    return element("div", { class: `field${field.is_long ? " long" : ""}`, title: field.help },
      element("label", { for: idOf(field.key) }, field.label, range(field) ? element("span", { class: "hidden" }, `, ${range(field)}`) : null),
      input,
      field.known.length ? element("datalist", { id: `${idOf(field.key)}-known` }, ...field.known.map((one) => element("option", { value: one }))) : null,
      element("p", { class: "quiet", id: `${idOf(field.key)}-note`, dir: "auto" }, noteOf(field, input.value)),
      element("p", { class: "error", id: `${idOf(field.key)}-error`, dir: "auto", hidden: "" }));
  };
  const fieldOf = (key) => open.item.fields.find((field) => field.key === key);
  const showNote = (key) => { $(`${idOf(key)}-note`).textContent = noteOf(fieldOf(key), open.inputs[key].value); };

  // ---- the preview

  const line = (text) => {
    const kind = { "+": "ins", "-": "del", "@": "hunk" }[text[0]];
    const isHead = /^(\+\+\+|---) /.test(text);
    if (isHead) return null;
    return element(kind === "hunk" ? "i" : kind || "span", {}, text === "" ? " " : text, "\n");
  };
  // a line of `doit why`: in the terminal, marks stand for colours
  const sentence = (pieces) => element("li", { dir: "auto", ...(pieces[0][0].startsWith("    ") ? { class: "more" } : {}) }, ...pieces.map(([text, style]) => {
    if (style === "old" || style === "new") {
      const tag = style === "old" ? "del" : "ins";
      const blank = text.startsWith(" ") ? " " : "";
      return element("span", {}, blank, element(tag, {}, text.trim().replace(/^(?:\[-|\{\+)([^]*)(?:-\]|\+\})$/, "$1")));
    }
    return style ? element("b", {}, text.trim(), " ") : text;
  }));
  const shorten = (lines) => (lines.length <= MOST_LINES ? lines
    : [...lines.slice(0, MOST_LINES - 2), [[`and ${lines.length - MOST_LINES + 1} more lines, which doit why prints`, ""]], lines[lines.length - 1]]);
  const listed = (tasks) => `${tasks.slice(0, 6).join(", ")}${tasks.length > 6 ? ` and ${tasks.length - 6} more` : ""}`;
  const showPreview = (said) => {
    const { why } = said;
    $("edit-diff").hidden = !said.diff.length;
    $("edit-diff").replaceChildren(...said.diff.map(line).filter(Boolean));
    $("edit-diff").setAttribute("aria-label", `Changes to ${said.file}`);
    $("edit-preview").replaceChildren(...[
      said.diff.length && !said.problems.length ? section("What the next doit would then do",
        why.lines.length ? element("ul", { class: "why" }, ...shorten(why.lines).map(sentence)) : element("p", {}, "No image changes."),
        why.others.length ? element("p", { class: "warn" }, `It changes images of other items too: ${listed(why.others)}`) : null) : null,
    ].filter(Boolean));
  };
  const showProblems = (problems) => {
    for (const [key, input] of Object.entries(open.inputs)) {
      const own = problems.filter((problem) => problem.field === key);
      const folded = input.closest("details");
      if (own.length && folded) folded.open = true;
      const error = $(`${idOf(key)}-error`);
      input.setAttribute("aria-invalid", String(own.length > 0));
      error.hidden = !own.length;
      error.textContent = own.map(({ what, hint }) => [what.replace(/^items\[\d+\]\./, ""), hint].filter(Boolean).join(". ")).join("\n");
    }
    const others = problems.filter((problem) => !open.inputs[problem.field]);
    $("edit-problems").replaceChildren(...others.map(({ where, what, hint }) =>
      element("li", { dir: "auto" }, [where, what].filter(Boolean).join(": "), hint ? element("span", { class: "quiet" }, ` ${hint}`) : null)));
    $("edit-problems").hidden = !others.length;
  };
  const take = (said) => {
    const isOther = said.is_other || said.sha256 !== open.item.sha256;
    open.item = said;
    Object.assign(open, { diff: said.diff, problems: said.problems });
    for (const field of said.fields) { // what was not typed over follows the file
      const input = open.inputs[field.key];
      if (!input || field.key in open.typed) continue;
      if (input.value !== field.value) {
        const caret = input === document.activeElement && input.tagName !== "SELECT" ? [input.selectionStart, input.selectionEnd] : null;
        input.value = field.value;
        if (caret) input.setSelectionRange(...caret);
        fit(input);
      }
    }
    for (const key of Object.keys(open.inputs)) if (fieldOf(key)) showNote(key);
    if (isOther) notice(`${said.file} has changed meanwhile. What you typed is still here; the changes below are to the file as it is now.`);
    showProblems(said.problems);
    showPreview(said);
    const count = said.problems.length;
    $("edit-said").textContent = count ? `${plural(count, "problem")}: ${said.problems[0].what.replace(/^items\[\d+\]\./, "")}` : said.diff.length ? sumOf(said.why) : "Nothing changed yet";
    $("edit-said").classList.toggle("error", count > 0);
  };
  // what `doit why` says last
  const sumOf = ({ lines }) => (lines.length ? lines[lines.length - 1].map(([text]) => text).join("").trim() : "No image changes");
  const notice = (text) => {
    $("edit-notice").textContent = text;
    $("edit-notice").hidden = !text;
  };
  const preview = async () => {
    clearTimeout(timer);
    if (!open) return;
    if (isAsking) { // one at a time: the server plans the project for each
      timer = setTimeout(preview, 100);
      return;
    }
    const [number, { task }] = [++asked, open];
    isAsking = true;
    try {
      const said = await review.ask("edit/preview", { task, values: open.typed, sha256: open.item.sha256 });
      if (number === asked && open && open.task === task) take(said);
    } catch (error) {
      if (number === asked && open && open.task === task) notice(error.message);
    } finally {
      isAsking = false;
    }
  };
  const previewSoon = () => {
    clearTimeout(timer);
    timer = setTimeout(preview, 250);
  };

  // ---- opening, saving, closing

  const isDirty = () => open !== null && Object.keys(open.typed).length > 0;
  const fill = (item) => {
    const others = item.images.filter((one) => one !== open.task);
    const ofJob = item.fields.filter((field) => field.scope === "job");
    form.replaceChildren(
      element("div", { class: "over" }, element("h3", { id: "edit-title" }, `Edit ${item.item}`), element("code", { class: "quiet" }, item.where)),
      others.length ? element("p", { class: "quiet" }, `${plural(item.images.length, "image")} are made of this item, and change with it: ${listed(item.images)}`) : "",
      element("p", { class: "warn", id: "edit-notice", role: "alert", hidden: "" }),
      element("div", { class: "fields" }, ...item.fields.filter((field) => field.scope === "item").map(makeField)),
      ofJob.length ? element("details", { id: "edit-job" }, element("summary", {}, "For all images of the job"), element("div", { class: "fields" }, ...ofJob.map(makeField))) : "",
      element("ul", { class: "error", id: "edit-problems", hidden: "" }),
      element("div", { id: "edit-preview" }),
      // what it means is in sight, whatever field one is in
      element("div", { id: "edit-end" },
        element("pre", { class: "diff", id: "edit-diff", tabindex: "0", role: "region", hidden: "" }),
        element("div", { id: "edit-save" },
          element("div", { class: "row", id: "edit-buttons" },
            element("button", { type: "submit", class: "plain run" }, "Save"),
            button("Save and build", () => save(true)),
            button("Cancel", cancel, { "aria-keyshortcuts": "Escape" })),
          element("p", { class: "quiet", id: "edit-said", role: "status" }, "Nothing changed yet"))));
  };
  const start = async (task) => {
    let item;
    try {
      item = await review.ask("edit/read", { task });
    } catch (error) {
      review.say(error.message);
      return;
    }
    const picture = gallery.current();
    if (!picture || picture.task !== task) return; // another image was opened meanwhile
    open = { task, of: picture.item, item, inputs: {}, typed: drafts.of(task), diff: [], problems: [] };
    for (const key of Object.keys(open.typed)) if (!fieldOf(key)) delete open.typed[key];
    fill(item);
    form.hidden = false;
    $("detail-body").hidden = true;
    if ($("edit-job")) {
      $("edit-job").open = Object.keys(open.typed).some((key) => fieldOf(key).scope === "job");
      $("edit-job").addEventListener("toggle", () => Object.values(open.inputs).forEach(fit));
    }
    Object.values(open.inputs).forEach(fit);
    open.inputs.prompt.focus({ preventScroll: true });
    form.scrollIntoView({ block: "start" });
    open.inputs.prompt.setSelectionRange(open.inputs.prompt.value.length, open.inputs.prompt.value.length);
    if (isDirty()) preview();
  };
  const end = (isFocused = true) => {
    clearTimeout(timer);
    open = null;
    asked += 1;
    form.hidden = true;
    form.replaceChildren();
    $("detail-body").hidden = false;
    if (isFocused && dialog.open) ($("edit-open") || dialog).focus();
  };
  const discard = () => {
    drafts.keep(open.task, {});
    end();
    if (gallery.current()) gallery.show(at.get(gallery.current().task));
  };
  const cancel = () => {
    if (!isDirty()) {
      end();
      return;
    }
    const row = $("edit-buttons");
    const keep = button("Keep editing", () => {
      question.replaceWith(row);
      open.inputs.prompt.focus();
    });
    const question = element("div", { class: "row", role: "group", "aria-label": "Discard what you typed?" },
      element("span", {}, "Discard what you typed?"), button("Discard", discard, { class: "plain danger" }), keep);
    if (!row) return; // it is asked already
    row.replaceWith(question);
    keep.focus();
  };
  const save = async (isBuilt) => {
    if (!open) return;
    const { task } = open;
    const sent = { ...open.typed };
    asked += 1; // a preview under way is too late
    clearTimeout(timer);
    let said;
    try {
      said = await review.ask("edit/write", { task, values: sent, sha256: open.item.sha256 });
    } catch (error) {
      const [what] = error.message.split("\n");
      notice(`Not saved: ${what}. ${what.includes("another doit") ? "Save again when that has ended" : "Try again"}: nothing you typed is lost.`);
      return;
    }
    if (!open || open.task !== task) return;
    const isSame = JSON.stringify(open.typed) === JSON.stringify(sent);
    if (!said.written) {
      take(said);
      const wrong = Object.values(open.inputs).find((input) => input.getAttribute("aria-invalid") === "true");
      if (wrong) wrong.focus();
      if (!said.diff.length && !said.problems.length) notice("Nothing is changed.");
      return;
    }
    if (isSame) drafts.keep(task, {});
    const build = said.why.build.filter((one) => at.has(one) || at.has(one.split(":").slice(0, 2).join(":"))); // a derived file has no card
    if (!isSame) { // who has typed on goes on
      preview();
      notice(`Saved ${said.written.file}. What you typed since is not saved yet.`);
    } else if (!isBuilt || !build.length) {
      showSaved(said, build);
    } else {
      end();
      review.announce(`Saved ${said.written.file}`);
    }
    if (isBuilt && build.length) perform(build);
  };
  const perform = (images) => review.perform({ command: "build", images });
  const showSaved = (said, build) => {
    open = null;
    const isPlain = build.every((one) => at.has(one));
    const what = build.length === 1 ? "this image" : `these ${build.length} ${isPlain ? "images" : "files"}`;
    const first = build.length ? button(`Build ${what}`, () => { perform(build); end(); }, { class: "plain run" }) : null;
    const close = button("Done", () => end());
    form.replaceChildren(
      element("p", { role: "status" }, element("b", {}, "Saved"), ` ${said.written.file}`),
      element("div", { class: "row" }, ...[first, button("Undo", () => review.undo(said.written.number)), close].filter(Boolean)));
    (first || close).focus();
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    save(false);
  });
  form.addEventListener("keydown", (event) => {
    if (open) event.stopPropagation(); // letters and arrows are for the fields
    if (event.key === "Escape") {
      event.preventDefault();
      if (open) cancel();
      else end();
    } else if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      save(event.shiftKey);
    }
  });
  dialog.addEventListener("cancel", (event) => {
    if (!open) return;
    event.preventDefault();
    cancel();
  });
  dialog.addEventListener("close", () => { if (!form.hidden) end(false); });

  // ---- in the view of an image

  const isEditable = (picture) => Boolean(picture && !picture.is_given && picture.backend);
  gallery.additions.push((picture) => {
    if (open && open.of && open.of === picture.item && !at.has(open.task)) { // it goes by another name since a variant was picked
      drafts.keep(open.task, {});
      drafts.keep(picture.task, open.typed);
      open.task = picture.task;
    }
    if (!form.hidden && open && open.task !== picture.task) end(false); // its draft is kept
    if (!isEditable(picture)) return [];
    const isDraft = Object.keys(drafts.of(picture.task)).length > 0;
    const made = button(isDraft ? "Continue editing" : "Edit", () => start(picture.task), { id: "edit-open", "aria-keyshortcuts": "e" });
    return [section("Prompt and settings", element("div", { class: "row" }, made,
      isDraft ? element("span", { class: "quiet" }, "What you typed is not saved yet") : null))];
  });
  review.keys.push({
    key: "e", label: "Edit the prompt and the settings", place: "For the open image, the selected ones, or the one with the focus",
    when: () => [null, dialog].includes(document.querySelector("dialog[open]")) && review.targets().length === 1 && isEditable(pictures[at.get(review.targets()[0])]),
    run: () => {
      const [task] = review.targets();
      if (!dialog.open) {
        location.hash = task;
        window.addEventListener("hashchange", () => start(task), { once: true });
      } else start(task);
    },
  });
  review.on("pictures", () => { if (open) previewSoon(); });
  review.on("edit", ({ undone }) => {
    if (open) previewSoon();
    if (undone && !open && !form.hidden) end(); // it said that it is saved
  });
})();
