
// ---- marks: keep, reject, later, and notes
(() => {
  const { element, dialog, at } = gallery;
  const MARKS = [["keep", "Keep", "y"], ["reject", "Reject", "x"], ["later", "Later", "l"]];
  const UNSAVED = "Saved when you leave the field";
  const PLACE = "For the open image, the selected ones, or the one with the focus";
  const of = (tasks) => tasks.map(review.pictureOf).filter((one) => one && !one.is_given);
  const markOf = (picture) => (picture.mark && picture.mark.is_current ? picture.mark.value : "");
  const noteOf = (picture) => (picture.note ? picture.note.value : "");

  // ---- saying it to the server, and showing it before that has it on disk

  const expected = (picture, { as, note }) => {
    const made = { time: new Date().toISOString(), by: "", is_current: true };
    const mark = as === undefined ? picture.mark : as === "none" ? null : { ...made, value: as };
    const text = note === undefined ? picture.note : note ? { ...made, value: note } : null;
    return {
      ...picture, mark, note: text, marked: mark && mark.is_current ? mark.value : "unmarked",
      said: [mark ? `marked ${mark.value}${mark.is_current ? "" : " in another version"}` : "", text ? "has a note" : ""].filter(Boolean).join(", "),
    };
  };
  const drafts = new Map(); // by task, {text, over, isRefused}: what is typed and not saved, and over which note
  const under = new Map(); // by the number of an action, what it shows ahead of time: [before, after] of each picture; and what was said
  const takeBack = (pairs, { note }) => {
    const [[{ task: first }, { note: over }]] = pairs;
    if (note !== undefined && pairs.length === 1 && !drafts.has(first)) drafts.set(first, { text: note, over: over ? over.value : "" }); // it is not lost
    for (const [before, after] of pairs) {
      const now = review.pictureOf(before.task);
      if (now === after) gallery.update(before);
    }
  };
  const say = async (tasks, options) => {
    const found = of(tasks).filter((one) => options.as === undefined || options.as === "none" || one.sha256);
    if (!found.length) return;
    const pairs = found.map((one) => [one, expected(one, options)]);
    if (options.note !== undefined) for (const one of found) drafts.delete(one.task);
    for (const [, after] of pairs) gallery.update(after);
    refilter();
    // the files that were looked at; a long list of them would make the command line too long
    const seen = options.as && options.as !== "none" && found.length <= 200 ? { seen: found.map((one) => one.sha256.slice(0, 8)).join(",") } : {};
    const action = await review.run("mark", found.map((one) => one.task), { ...options, ...seen });
    if (action) under.set(action.number, [pairs, options]);
    else takeBack(pairs, options);
  };
  review.on("action", (event) => {
    if (["waiting", "running"].includes(event.state) || !under.has(event.number)) return;
    if (event.state !== "done") {
      takeBack(...under.get(event.number));
      review.say(event.lines.join("\n"));
    }
    under.delete(event.number);
  });

  // what is marked among "unmarked" leaves the grid, but not from under somebody who looks at it
  const refilter = () => { if (!dialog.open) gallery.filter(); };
  dialog.addEventListener("close", () => setTimeout(refilter));

  // all have the mark already: it is taken back
  const toggle = (tasks, value) => {
    const found = of(tasks).filter((one) => one.sha256);
    return say(tasks, { as: found.length && found.every((one) => markOf(one) === value) ? "none" : value });
  };

  // ---- the view of one image

  const buttons = MARKS.map(([value, label, key]) => {
    const made = review.button("", () => toggle([task], value), { class: `plain marker ${value}`, "aria-keyshortcuts": key });
    made.append(element("i", { class: `mark ${value}`, "aria-hidden": "true" }), label);
    return made;
  });
  const aboutMark = element("span", { class: "quiet about" });
  const field = element("textarea", { id: "note", rows: "2", dir: "auto", maxlength: "4000", "aria-keyshortcuts": "n", "aria-describedby": "about-note" });
  const aboutNote = element("span", { class: "quiet about", id: "about-note" });
  const conflict = element("p", { class: "warn", role: "status", hidden: "" });
  // what is said of them stands above: whatever it is, nothing below moves
  const panel = [
    element("section", {}, element("div", { class: "over" }, element("h3", {}, "Mark"), aboutMark),
      element("div", { class: "markers", role: "group", "aria-label": "Mark" }, ...buttons)),
    element("section", {}, element("div", { class: "over" }, element("h3", {}, element("label", { for: "note" }, "Note")), aboutNote), field, conflict),
  ];
  let task = ""; // of the image that the panel is for

  const save = () => {
    const [draft, picture] = [drafts.get(task), review.pictureOf(task)];
    if (!draft || !picture) return;
    const [text, now] = [draft.text.trim(), noteOf(picture)];
    if (now !== draft.over && now !== text) { // somebody else wrote one meanwhile
      Object.assign(draft, { over: now, isRefused: true });
      showNote(picture);
      return;
    }
    drafts.delete(task);
    if (text !== now) say([task], { note: text });
    showNote(review.pictureOf(task));
  };
  const showNote = (picture, isOther = false) => {
    const draft = drafts.get(picture.task);
    const text = draft ? draft.text : noteOf(picture);
    if (field.value !== text && (field !== document.activeElement || isOther)) field.value = text; // nobody else writes where one types
    aboutNote.replaceChildren(draft ? UNSAVED : picture.note ? gallery.about(picture.note) : "");
    conflict.hidden = !(draft && draft.isRefused);
    conflict.textContent = conflict.hidden ? "" : `Not saved: meanwhile the note is “${draft.over}”. Leave the field once more to replace it.`;
  };
  field.addEventListener("input", () => {
    drafts.set(task, { over: noteOf(review.pictureOf(task)), ...drafts.get(task), text: field.value });
    aboutNote.replaceChildren(UNSAVED);
  });
  field.addEventListener("blur", () => {
    save();
    if (review.pictureOf(task)) showNote(review.pictureOf(task)); // what came while one was in it
  });
  field.addEventListener("keydown", (event) => {
    event.stopPropagation(); // arrows move in the text
    if (event.key === "Escape" || (event.key === "Enter" && (event.ctrlKey || event.metaKey))) {
      event.preventDefault(); // leaves the field, which saves it, and not the image
      dialog.focus();
    }
  });
  dialog.addEventListener("close", save);
  window.addEventListener("pagehide", save);

  const showPanel = (picture) => {
    if (picture.is_given) return [];
    const isOther = picture.task !== task;
    if (isOther && drafts.has(task) && !at.has(task) && field === document.activeElement) { // it goes by another name since a variant was picked
      drafts.set(picture.task, drafts.get(task));
      drafts.delete(task);
    } else if (isOther) save();
    task = picture.task;
    MARKS.forEach(([value], index) => {
      buttons[index].setAttribute("aria-pressed", String(markOf(picture) === value));
      buttons[index].disabled = !picture.sha256;
    });
    const { mark } = picture;
    const other = mark && !mark.is_current ? `${mark.value[0].toUpperCase()}${mark.value.slice(1)}, ` : "";
    aboutMark.replaceChildren(other, mark ? gallery.about(mark) : picture.sha256 ? "" : "There is no image to mark yet");
    showNote(picture, isOther);
    return panel;
  };
  gallery.additions.splice(gallery.additions.indexOf(gallery.remarks), 1, showPanel);

  // ---- for several at once, and keys

  const askNote = async (tasks) => {
    const found = of(tasks);
    const same = new Set(found.map(noteOf));
    const area = element("textarea", { name: "note", rows: "3", dir: "auto", maxlength: "4000" });
    const draft = found.length === 1 && drafts.get(found[0].task);
    area.value = draft ? draft.text : same.size === 1 ? [...same][0] : "";
    area.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) area.form.requestSubmit();
    });
    const whose = found.length === 1 ? [found[0].name, found[0].part].filter(Boolean).join(" ") : `${found.length} images`;
    const others = same.size > 1 ? ["It replaces the notes that they have."] : [];
    const answer = await review.askFirst(`Note on ${whose}`, others, [element("label", {}, element("span", { class: "hidden" }, "Note"), area)], "Save");
    if (answer) say(found.map((one) => one.task), { note: answer.note.trim() });
  };
  const hasImage = (tasks) => of(tasks).some((one) => one.sha256);
  const each = [
    ...MARKS.map(([value, label, key]) => ({ label, key, when: hasImage, run: (tasks) => toggle(tasks, value) })),
    { label: "Note …", key: "n", when: (tasks) => of(tasks).length > 0, run: askNote },
  ];
  review.bulk.push(...each);
  review.keys.push(...each.map((one) => ({
    key: one.key, label: one.key === "n" ? "Write a note" : `Mark: ${one.label.toLowerCase()}`, place: PLACE,
    when: () => review.targets().length > 0 && one.when(review.targets()),
    run: () => (one.key === "n" && review.subject() === "image" && field.offsetWidth ? field.focus() : one.run(review.targets())),
  })));
  review.marks = { say, toggle, markOf };
})();
