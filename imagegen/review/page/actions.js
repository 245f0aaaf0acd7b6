
// ---- actions: selecting
(() => {
  const { element, cards, pictures, at, dialog } = gallery;

  let last = null; // the task that a range begins at
  const choose = (task, isOn, isRange) => {
    const shown = review.shownTasks();
    const [from, to] = [shown.indexOf(last), shown.indexOf(task)].sort((a, b) => a - b);
    review.select(isRange && from >= 0 ? shown.slice(from, to + 1) : [task], isOn);
    last = task;
  };
  const boxOf = (card) => card.querySelector(".choose input");
  const taskOf = (card) => pictures[cards.indexOf(card)].task;
  const prepare = (card, index) => {
    if (!boxOf(card)) {
      const box = element("input", { type: "checkbox" });
      const label = element("label", { class: "choose" }, box);
      label.addEventListener("click", (event) => {
        if (event.target === box) choose(taskOf(card), box.checked, event.shiftKey); // the label's own click comes as one on the box
      });
      card.append(label);
    }
    const picture = pictures[index];
    boxOf(card).setAttribute("aria-label", `Select ${[picture.name, picture.part].filter(Boolean).join(" ")}`);
    boxOf(card).checked = review.selected.has(picture.task);
  };

  const bar = element("div", { id: "selection", role: "group", "aria-label": "Selected images", hidden: "" });
  review.foot.append(bar);
  const showSelection = () => {
    const tasks = review.shownTasks().filter((task) => review.selected.has(task));
    const hidden = review.selected.size - tasks.length;
    document.body.classList.toggle("selecting", review.selected.size > 0);
    cards.forEach((card, index) => {
      const isOn = review.selected.has(pictures[index].task);
      if (card.classList.contains("selected") === isOn) return;
      card.classList.toggle("selected", isOn);
      boxOf(card).checked = isOn;
    });
    bar.hidden = review.subject() !== "selection";
    if (bar.hidden) return;
    const focus = bar.contains(document.activeElement) ? document.activeElement.textContent : null;
    const offered = tasks.length ? review.bulk.filter((one) => !one.when || one.when(tasks)) : [];
    bar.replaceChildren(
      element("b", {}, `${tasks.length} selected`),
      hidden ? element("span", { class: "quiet" }, `and ${hidden} that the filters hide: nothing is done to ${hidden === 1 ? "it" : "them"}`) : "",
      element("span", { class: "buttons" },
        ...offered.map((one) => review.button(one.label, () => one.run(tasks), one.key ? { "aria-keyshortcuts": one.key } : {})),
        review.button("Select all shown", () => review.select(review.shownTasks())),
        review.button("Clear", clear, { "aria-keyshortcuts": "Escape" })));
    if (focus) ([...bar.querySelectorAll("button")].find((one) => one.textContent === focus) || bar.querySelector("button")).focus();
  };
  const clear = () => {
    const focus = bar.contains(document.activeElement) ? [...review.selected][0] : null;
    review.selected.clear();
    review.emit({ event: "selection" });
    review.announce("Nothing is selected");
    if (focus && at.has(focus)) gallery.links[at.get(focus)].focus();
  };
  review.on("selection", showSelection);
  gallery.filtered.push(showSelection);
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]") || event.target.closest("input:not([type=checkbox]), select, textarea")) return;
    if (event.key === "a" && (event.ctrlKey || event.metaKey) && !event.altKey) {
      event.preventDefault();
      review.select(review.shownTasks());
      review.announce(`${review.targets().length} selected`);
    } else if (event.key === "Escape" && review.selected.size) {
      event.preventDefault();
      clear();
    }
  });
  review.on("subject", showSelection);
  review.prepareCards = () => cards.forEach(prepare);
  review.prepareCards();
  review.on("shown", ({ tasks }) => tasks.forEach((task) => prepare(cards[at.get(task)], at.get(task))));

  const inGrid = () => !document.querySelector("dialog[open]");
  const move = (by) => {
    if (dialog.open) return gallery.step(by);
    const shown = gallery.shown();
    const card = document.activeElement && document.activeElement.closest(".card");
    const place = card ? shown.indexOf(cards.indexOf(card)) + by : by > 0 ? 0 : shown.length - 1;
    if (shown[place] !== undefined) gallery.links[shown[place]].focus();
    return undefined;
  };
  review.keys.push(
    { key: "j", repeats: true, label: "Next image", place: "Everywhere", when: () => inGrid() || dialog.open, run: () => move(1) },
    { key: "k", repeats: true, label: "Previous image", place: "Everywhere", when: () => inGrid() || dialog.open, run: () => move(-1) },
    { key: "s", label: "Select the image, or not", place: "Among the images", when: () => inGrid() && review.focused(),
      run: () => choose(review.focused(), !review.selected.has(review.focused()), false) },
  );
})();

// ---- actions: doing
(() => {
  const { element, pictures } = gallery;
  const is = (...states) => (one) => one.states.some((state) => states.includes(state));
  const of = (tasks) => tasks.map(review.pictureOf).filter(Boolean);

  // a question, as a dialog; resolves to what its form says, or null
  const ask = (title, text, content, yes) => new Promise((resolve) => {
    const focus = document.activeElement;
    const no = review.button("Cancel", () => box.close());
    const go = element("button", { type: "submit", class: "plain run" }, yes);
    const form = element("form", {}, element("h2", { id: "question" }, title), ...text.map((line) => element("p", {}, line)), ...content,
      element("p", { class: "buttons" }, no, go));
    const box = element("dialog", { class: "question small-dialog", "aria-labelledby": "question" }, form);
    let answer = null;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      answer = Object.fromEntries(new FormData(form));
      box.close();
    });
    box.addEventListener("close", () => {
      box.remove();
      if (focus && focus.isConnected) focus.focus();
      resolve(answer);
    });
    document.body.append(box);
    box.showModal();
    const field = form.querySelector("input, textarea");
    (field || go).focus();
    if (field) field.select();
  });
  review.askFirst = ask;

  // a whole job goes by its name; a derived file that is not fresh is built with its image
  const named = (tasks, command) => {
    const wanted = new Set(tasks);
    const names = [];
    for (const job of new Set(of(tasks).map((one) => one.job))) {
      const all = pictures.filter((one) => one.job === job);
      if (command !== "accept" && all.length > 1 && all.every((one) => wanted.has(one.task))) names.push(job);
      else {
        for (const one of all.filter((each) => wanted.has(each.task))) {
          if (command !== "build" || one.state !== "fresh") names.push(one.task);
          if (command === "build") names.push(...one.derived.filter((each) => each.state !== "fresh").map((each) => `${one.task}:${each.name}`));
        }
      }
    }
    return names;
  };
  const isJob = (name) => !name.includes(":");

  // does what `whatToDo` says, or the like; asks first if it takes long or costs something
  const perform = async (action) => {
    const options = { ...action.options };
    const { command, images } = action;
    if (command === "build" || command === "reroll") {
      const cost = await review.ask("forecast", { command, images, ...options }).catch((error) => { review.say(error.message); return null; });
      if (!cost) return null;
      const isMany = command === "reroll" && cost.pictures > 1;
      if (isMany && images.some(isJob)) options.yes = true; // it is asked here
      if (cost.needs_question || isMany) {
        const words = { build: "Build", reroll: "Reroll" }[command];
        const line = element("code", { class: "line" }, gallery.commandText({ ...action, options }));
        if (!await ask(`${words}?`, [`${cost.text}.`], [line], words)) return null;
      }
    }
    const isBusy = review.isBusy();
    const done = await review.run(command, images, options);
    if (done) review.announce(`${isBusy ? "Begins once what is going on has ended" : "Begun"}: ${done.command}`);
    return done;
  };
  review.perform = perform;
  const act = (command, tasks, options = {}) => perform({ purpose: "", command, images: named(tasks, command), options });

  const rerollCounted = async (tasks) => {
    const images = named(tasks, "reroll");
    const field = element("input", { type: "number", name: "count", min: "1", max: "32", value: "4", required: "", inputmode: "numeric" });
    const line = element("code", { class: "line" });
    const cost = element("p", { class: "quiet", role: "status" });
    let asked = 0;
    const update = async () => {
      const options = { count: Number(field.value) || 1, ...(images.some(isJob) ? { yes: true } : {}) };
      line.textContent = gallery.commandText({ command: "reroll", images, options });
      const number = ++asked;
      const found = await review.ask("forecast", { command: "reroll", images, ...options }).catch(() => null);
      if (number === asked) cost.textContent = found ? `${found.text}.` : "";
    };
    field.addEventListener("input", update);
    update();
    const answer = await ask("Reroll", ["One after another, each with a seed of its own. All stay in the store; the last one is the image."],
      [element("label", {}, "Pictures of each image ", field), cost, line], "Reroll");
    if (!answer) return;
    const options = { count: Number(answer.count), ...(images.some(isJob) ? { yes: true } : {}) };
    const done = await review.run("reroll", images, options);
    if (done) review.announce(`Begun: ${done.command}`);
  };

  const rerolls = (tasks) => of(tasks).length > 0 && of(tasks).every((one) => one.rerolls && one.state !== "edited");
  const build = { label: "Build", key: "b", when: (tasks) => of(tasks).some(is("stale", "missing", "failed")), run: (tasks) => act("build", tasks) };
  const reroll = { label: "Reroll", key: "r", when: rerolls, run: (tasks) => act("reroll", tasks) };
  const counted = { label: "Reroll several …", key: "R", when: rerolls, run: rerollCounted };
  const accept = { label: "Accept", key: "a", when: (tasks) => of(tasks).some(is("edited", "stale")), run: (tasks) => act("accept", tasks.filter((task) => is("edited", "stale")(review.pictureOf(task)))) };
  review.bulk.push(build, reroll, counted, accept);
  // beside what the view of one image says there is to do
  gallery.buttons.push((action) => {
    if (action.command !== "reroll") return null;
    return review.button("Several …", () => rerollCounted(action.images), { class: "plain" });
  });

  const stale = () => pictures.filter(is("stale", "missing", "failed")).length;
  const buildAll = review.button("Build all", () => perform({ purpose: "", command: "build", images: [], options: {} }), { id: "build-all" });
  const showStale = () => {
    buildAll.hidden = !stale();
    buildAll.textContent = `Build all ${stale()}`;
    buildAll.title = "Build everything that is stale or missing: doit";
  };
  document.querySelector(".filters").append(buildAll);
  showStale();
  review.on("shown", showStale);

  // 1 to 9: a variant of the image that is open or has the focus
  const pick = (number) => {
    const [task] = review.targets();
    const { item } = review.pictureOf(task);
    perform({ purpose: "", command: "pick", images: [item], options: { variant: number } });
  };
  const hasVariants = () => review.targets().length === 1 && of(review.targets()).every((one) => one.item);
  const usual = (one) => ({
    key: one.key, label: one.label, place: "For the open image, the selected ones, or the one with the focus",
    when: () => review.targets().length > 0 && (!one.when || one.when(review.targets())), run: () => one.run(review.targets()),
  });
  review.keys.push(
    ...[build, reroll, { ...counted, label: "Reroll, several pictures of each" }, accept].map(usual),
    ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map((number) => ({
      key: String(number), label: `Pick variant ${number}`, place: "Variants", when: hasVariants, run: () => pick(number),
      ...(number > 1 ? { isHidden: true } : { shows: "1–9", label: "Pick that variant" }),
    })),
    { key: "0", label: "Have all variants as images again", place: "Variants", when: () => hasVariants() && review.targets().every((task) => review.pictureOf(task).item === task), run: () => pick(0) },
  );
})();

// ---- actions: what is going on, and undoing it
(() => {
  const { element, at, cards, dialog, $ } = gallery;
  const actions = new Map(); // by number, as the server says
  const seen = new Map(); // by number, when its progress was said: milliseconds, by this page's clock
  const pressed = new Map(); // by number, until when Cancel has been pressed just now: the server takes no second click so soon

  const clock = (seconds) => {
    const whole = Math.max(0, Math.round(seconds));
    const parts = [Math.floor(whole / 60) % 60, whole % 60].map((part) => String(part).padStart(2, "0"));
    return whole >= 3600 ? `${Math.floor(whole / 3600)}:${parts.join(":")}` : `${Math.floor(whole / 60)}:${parts[1]}`;
  };
  const passed = (number) => (performance.now() - (seen.get(number) || performance.now())) / 1000;
  const running = () => [...actions.values()].filter((one) => one.state === "running");
  review.isBusy = () => running().length > 0;
  const waiting = () => [...actions.values()].filter((one) => one.state === "waiting");
  const isOver = (action) => !["running", "waiting"].includes(action.state);
  let latest = 0; // the number of the action that ended last, whose result is shown; 0: none is
  let openLog = 0; // the action whose log is open

  // ---- progress over a card and over the open image

  const bar = (done, total, label) => element("progress", { max: String(total || 1), value: String(done), "aria-label": label });
  const flightText = (flight, since) => {
    if (flight.waits) return flight.waits;
    if (flight.is_arrived) return "to be put in place";
    const [done, total] = flight.steps;
    const steps = total ? `step ${done} of ${total}` : "generating";
    const spent = flight.passed_s + since;
    const expected = flight.expected_s === null && done ? (flight.passed_s / done) * total : flight.expected_s; // or by its pace
    return expected === null || spent > expected ? `${steps}, ${clock(spent)}` : `${steps}, ${clock(expected - spent)} left`;
  };
  const flightBar = (flight, since) => {
    const [done, total] = flight.steps;
    if (total) return [done, total];
    return flight.expected_s ? [Math.min(flight.passed_s + since, flight.expected_s), flight.expected_s] : [0, 1];
  };
  const overlayOf = (parent) => {
    let over = parent.querySelector(":scope > .flight");
    if (!over) parent.append(over = element("span", { class: "flight" }, element("span", {}), bar(0, 1, "Progress")));
    return over;
  };
  const paint = (parent, flight, since) => {
    const over = overlayOf(parent);
    const [done, total] = flightBar(flight, since);
    over.firstElementChild.textContent = flightText(flight, since);
    over.lastElementChild.max = total;
    over.lastElementChild.value = done;
  };
  const flights = () => {
    const found = new Map();
    for (const one of running()) for (const [task, flight] of Object.entries(one.progress.flights)) found.set(task, [flight, passed(one.number)]);
    return found;
  };
  const showFlights = () => {
    const now = flights();
    for (const over of document.querySelectorAll(".card .flight")) {
      const card = over.closest(".card");
      if (!now.has(gallery.pictures[cards.indexOf(card)].task)) over.remove();
    }
    for (const [task, [flight, since]] of now) if (at.has(task)) paint(cards[at.get(task)].querySelector(".frame"), flight, since);
    const open = dialog.open && gallery.current() ? now.get(gallery.current().task) : null;
    if (open) paint($("now"), ...open);
    else for (const over of document.querySelectorAll("#now > .flight")) over.remove();
  };

  // ---- the bar: one line, whatever is going on. Over it, if it is asked for: all that runs, what waits, the last result

  const area = element("div", { id: "activity", role: "group", "aria-label": "What is going on", hidden: "" });
  const log = element("pre", { id: "log", role: "region", tabindex: "0", "aria-label": "What the command says", hidden: "" });
  const line = element("div", { class: "going" });
  const all = element("div", { id: "all-activity", role: "group", "aria-label": "All that is going on", hidden: "" });
  area.append(line, all);
  review.foot.prepend(area);
  const cancel = (action) => review.ask("cancel", { number: action.number }).catch((error) => review.say(error.message));
  // a double click is not Ctrl-C twice; the button says so, in every tab
  const rest = (action) => {
    pressed.set(action.number, performance.now() + 700);
    setTimeout(showSoon, 750);
  };
  const cancelText = (action) => (action.state === "waiting" || !action.interrupts ? "Cancel" : action.interrupts === 1 ? "Cancel now" : "Kill");
  const logButton = (action) => review.button("Log", () => {
    openLog = openLog === action.number ? 0 : action.number;
    show();
  }, { "aria-expanded": String(openLog === action.number), "aria-controls": "log" });
  const commands = (action) => (action.file ? element("span", {}, isUndo(action) ? action.command : action.file)
    : element("code", { title: action.command }, action.command.split("\n").join(" && ")));

  const runningText = (action) => {
    const { done, total, left_s: left, states } = action.progress;
    const jobs = Object.entries(action.progress.flights).filter(([task]) => !at.has(task)).map(([task, flight]) => `${task}: ${flight.waits || "at work"}`);
    return [
      total ? `${done} of ${total}` : "working",
      left !== null && total ? `${clock(left - passed(action.number))} left` : "",
      states.failed ? `${states.failed} failed` : "", ...jobs,
      action.interrupts === 1 ? "ends once the images that have begun are done" : action.interrupts ? "is being cancelled" : "",
    ].filter(Boolean).join(" · ");
  };
  const progressOf = ({ progress: { done, total } }) => (total ? bar(done, total, "Images done") : "");
  const cancelButton = (action) => {
    const isResting = action.state === "running" && performance.now() < (pressed.get(action.number) || 0);
    return review.button(cancelText(action), () => { if (!isResting) cancel(action); }, isResting ? { "aria-disabled": "true" } : {});
  };
  const runningLine = (action) => element("div", { class: "doing running" }, commands(action), progressOf(action),
    element("span", { class: "quiet" }, runningText(action)), element("span", { class: "buttons" }, logButton(action), cancelButton(action)));
  const waitingLine = (action) => element("div", { class: "doing waiting" }, commands(action), element("span", { class: "quiet" }, "waits"),
    element("span", { class: "buttons" }, cancelButton(action)));
  // an undo, and not one of an undo, which does again what was done first
  const isUndo = (action) => Boolean(action && action.undoes) && !isUndo(actions.get(action.undoes));
  const isUndone = (action) => [...actions.values()].some((one) => one.undoes === action.number && !["failed", "cancelled"].includes(one.state));
  // the number of an action; without it, the server takes back what was done last, here or in another tab
  const undo = (number) => review.ask("undo", number ? { number } : {}).catch((error) => review.say(error.message));
  review.undo = undo;
  const says = (action) => `${{ done: action.file && !isUndo(action) ? "Saved" : "Done", failed: "Failed", cancelled: "Cancelled" }[action.state]}${isUndo(action) ? ": undo" : ""}`;
  const undoButton = (action, label) => {
    if (!action.can_be_undone || isUndone(action)) return "";
    const title = [...action.undo, ...(action.undo_count > action.undo.length ? ["…"] : [])].join("\n");
    return review.button(isUndo(action) ? "Do it again" : label, () => undo(action.number), { title, ...(isUndo(action) ? {} : { "aria-keyshortcuts": "u" }) });
  };
  // of which it generated several pictures
  const rerolled = (action) => (action && action.count > 1 ? action.images.filter((task) => at.has(task)) : []);
  review.rerolled = () => rerolled(actions.get(latest));
  const compareButton = (action) => {
    const images = rerolled(action);
    return images.length ? review.button("Compare", () => review.compareVersions(images[0], "", images)) : "";
  };
  const resultLine = (action) => {
    const buttons = [compareButton(action), undoButton(action, "Undo"), action.file ? "" : logButton(action)];
    buttons.push(review.button("Dismiss", () => { latest = openLog = 0; show(); }));
    const words = element("span", { class: "result" }, action.result, action.undo.length ? element("span", { class: "quiet" }, ` · undo: ${action.undo[0]}${action.undo_count > 1 ? ` and ${action.undo_count - 1} more` : ""}`) : "",
      action.undo_problem ? element("span", { class: "quiet" }, ` · ${action.undo_problem}`) : "");
    return element("div", { class: `doing ${action.state}` }, element("b", {}, says(action)), commands(action), words,
      element("span", { class: "buttons" }, ...buttons));
  };
  const hint = matchMedia("(pointer: coarse)").matches ? "Two fingers enlarge; swipe for the next" : "? shows all keys";
  // what matters most of it: what runs, else what waits, else the last result; and what can be done about it at once
  const showLine = (last, count) => {
    const [active] = [...running(), ...waiting()];
    const about = active || last;
    line.className = `going ${about ? about.state : ""}`;
    if (!about) return line.replaceChildren(element("span", { class: "quiet" }, hint)); // on the light table, where its place is kept
    const verb = last ? last.verb : "";
    const undoLabel = active && last ? `Undo ${last.file ? "edit" : review.verbs[verb] ? verb : "build"}` : "Undo";
    return line.replaceChildren(
      active ? "" : element("b", {}, says(last)), commands(about), active === undefined || active.state === "waiting" ? "" : progressOf(active),
      element("span", { class: "quiet" }, !active ? last.result : active.state === "waiting" ? "waits" : runningText(active)),
      element("span", { class: "buttons" }, active ? cancelButton(active) : compareButton(last), last ? undoButton(last, undoLabel) : "",
        review.button(count > 1 ? `Details (${count})` : "Details", () => { all.hidden = !all.hidden; show(); },
          { "aria-expanded": String(!all.hidden), "aria-controls": "all-activity" })));
  };
  showLine();

  const show = () => {
    const last = actions.get(latest);
    const lines = [
      ...(last ? [resultLine(last)] : []),
      ...running().map(runningLine),
      ...waiting().map(waitingLine),
    ];
    const focus = area.contains(document.activeElement) ? document.activeElement : null;
    const rows = () => [...area.querySelectorAll(".going, .doing")];
    const name = focus && focus.textContent.replace(/ .*/, "");
    const row = focus && rows().indexOf(focus.closest(".going, .doing"));
    const top = all.scrollTop;
    area.hidden = !lines.length;
    all.hidden = all.hidden || !lines.length;
    showLine(last, lines.length);
    all.replaceChildren(...lines, log);
    all.scrollTop = top;
    showLog();
    if (focus && focus !== log) {
      const near = (rows()[row] || line).querySelectorAll("button");
      const same = [...near].find((one) => one.textContent.startsWith(name)) || near[0];
      if (same) same.focus();
    } else if (focus) log.focus();
    showFlights();
  };
  const showLog = () => {
    const action = actions.get(openLog);
    log.hidden = !action;
    if (!action) return;
    const isAtEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 4;
    const copy = gallery.copyButton(action.lines.join("\n"), "Copy what the command says");
    log.replaceChildren(copy, action.lines.join("\n") || "It has said nothing yet.");
    if (isAtEnd) log.scrollTop = log.scrollHeight;
  };
  let isDue = false;
  const showSoon = () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => { isDue = false; show(); });
  };

  // ---- what the server says

  let isLoading = true;
  const take = (action) => {
    const before = actions.get(action.number);
    actions.set(action.number, action);
    seen.set(action.number, performance.now());
    if (before && action.interrupts > before.interrupts) rest(action);
    if (!isLoading && isOver(action) && (!before || before.state !== action.state)) {
      latest = action.number;
      review.announce([`${says(action)}: ${action.command}`, action.result].filter(Boolean).join(". "));
      if (actions.has(openLog) && isOver(actions.get(openLog))) openLog = 0; // of one before
      if (action.state === "failed") {
        openLog = action.number;
        all.hidden = false;
      } else if (openLog && actions.get(openLog).state === "failed") { // another result is shown now
        openLog = 0;
        all.hidden = true;
      }
    }
    showSoon();
  };
  review.on("action", (event) => take(event));
  review.on("line", (event) => {
    const action = actions.get(event.action);
    if (!action) return;
    action.lines.push(event.line);
    if (action.lines.length > 200) action.lines.shift();
    if (openLog === event.action) showLog();
  });
  review.on("*", (event) => {
    const action = actions.get(event.action);
    if (!action || !event.progress) return;
    const { task, flight, ...overall } = event.progress;
    Object.assign(action.progress, overall);
    if (flight) action.progress.flights[task] = flight;
    else delete action.progress.flights[task];
    // the others' seconds count from another moment than this one's
    const since = passed(action.number);
    for (const [name, other] of Object.entries(action.progress.flights)) if (name !== task) other.passed_s += since;
    seen.set(action.number, performance.now());
    if (event.event === "outcome" && event.state === "failed") action.progress.failures[task] = event.problems[0];
    showSoon();
  });
  review.on("shown", showSoon);
  setInterval(() => { if (running().length) showSoon(); }, 1000);

  // why it failed, where it failed: until it is built
  const failureOf = (task) => [...actions.values()].reverse().map((one) => one.progress.failures[task]).find(Boolean);
  gallery.additions.push((picture) => {
    const failure = picture.state === "fresh" || picture.failure.length ? null : failureOf(picture.task);
    return failure ? [gallery.section("Failed", element("p", { class: "failure" }, failure.what), failure.hint ? element("p", { class: "quiet" }, failure.hint) : null)] : [];
  });

  review.keys.push({ key: "u", label: "Undo the last action", place: "Everywhere", run: () => undo() });
  for (const action of review.live.actions) take(action);
  isLoading = false;
  latest = Math.max(0, ...[...actions.values()].filter(isOver).map((one) => one.number));
  new MutationObserver(showSoon).observe(dialog, { attributes: true, attributeFilter: ["open"] });
  gallery.filtered.push(showFlights);
})();

// ---- actions: the keys
(() => {
  const { element } = gallery;
  const help = () => {
    const places = new Map();
    const add = (place, key, label) => places.set(place, [...(places.get(place) || []), [key, label]]);
    add("Everywhere", "/", "Search");
    add("Everywhere", "Escape", "Close, or select nothing");
    add("Among the images", "Ctrl A", "Select all that are shown");
    add("Among the images", "Shift click", "Select a range");
    for (const one of review.keys) {
      if (!one.isHidden) add(one.place || "Everywhere", one.shows || one.key, one.label);
    }
    const close = review.button("Close", () => box.close());
    const box = element("dialog", { class: "question small-dialog", "aria-labelledby": "keys", tabindex: "-1" }, element("h2", { id: "keys" }, "Keys"),
      ...[...places].flatMap(([place, rows]) => [element("h3", {}, place),
        element("dl", {}, ...rows.flatMap(([key, label]) => [element("dt", {}, element("kbd", {}, key)), element("dd", {}, label)]))]),
      element("p", { class: "buttons" }, close));
    const focus = document.activeElement;
    box.addEventListener("close", () => {
      box.remove();
      if (focus && focus.isConnected) focus.focus();
    });
    document.body.append(box);
    box.showModal();
    box.focus(); // and not the only button, which is at its end
    box.scrollTop = 0;
  };
  review.keys.push({ key: "?", label: "Show the keys", place: "Everywhere", when: () => !document.querySelector(".question[open]"), run: help });
  const open = review.button("Keys", help, { id: "help", "aria-keyshortcuts": "?" });
  document.querySelector(".filters").append(open);
})();
