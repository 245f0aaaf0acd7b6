
// ---- actions: selecting, doing, undoing, and what is going on
(() => {
  const { element, cards, pictures, at, dialog } = gallery;
  const plural = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
  const button = (label, run, attributes = {}) => {
    const made = element("button", { type: "button", class: "plain", ...attributes }, label);
    made.addEventListener("click", run);
    return made;
  };

  // ---- selecting

  let last = null; // the task that a range begins at
  const choose = (task, isOn, isRange) => {
    const shown = review.shownTasks();
    const [from, to] = [shown.indexOf(last), shown.indexOf(task)].sort((a, b) => a - b);
    review.select(isRange && from >= 0 ? shown.slice(from, to + 1) : [task], isOn);
    last = task;
  };
  const boxOf = (card) => card.querySelector(".choose input");
  const prepare = (card) => {
    if (boxOf(card)) return;
    const box = element("input", { type: "checkbox" });
    const label = element("label", { class: "choose" }, box);
    label.addEventListener("click", (event) => {
      if (event.target !== box) return; // the label's own click comes as another one on the box
      choose(pictures[cards.indexOf(card)].task, box.checked, event.shiftKey);
    });
    card.append(label);
    name(card);
  };
  const name = (card) => {
    const picture = pictures[cards.indexOf(card)];
    boxOf(card).setAttribute("aria-label", `Select ${[picture.name, picture.part].filter(Boolean).join(" ")}`);
    boxOf(card).checked = review.selected.has(picture.task);
  };

  const bar = element("div", { id: "selection", role: "group", "aria-label": "Selected images", hidden: "" });
  review.foot.append(bar);
  const showSelection = () => {
    const tasks = review.targets();
    const hidden = review.selected.size - tasks.length;
    const isShown = review.selected.size > 0 && !dialog.open;
    document.body.classList.toggle("selecting", review.selected.size > 0);
    for (const card of cards) {
      const task = pictures[cards.indexOf(card)].task;
      const isOn = review.selected.has(task);
      if (card.classList.contains("selected") !== isOn) card.classList.toggle("selected", isOn);
      if (boxOf(card)) boxOf(card).checked = isOn;
    }
    bar.hidden = !isShown;
    if (!isShown) return;
    bar.replaceChildren(
      element("b", {}, `${tasks.length} selected`),
      hidden ? element("span", { class: "quiet" }, `and ${hidden} that the filters hide: nothing is done to ${hidden === 1 ? "it" : "them"}`) : "",
      element("span", { class: "buttons" },
        ...review.bulk.filter((one) => tasks.length && (!one.when || one.when(tasks))).map((one) =>
          button(one.label, () => one.run(review.targets()), one.key ? { "aria-keyshortcuts": one.key } : {})),
        button("Select all shown", () => review.select(review.shownTasks())),
        button("Clear", clear, { "aria-keyshortcuts": "Escape" })));
  };
  const clear = () => {
    const focus = bar.contains(document.activeElement) ? [...review.selected][0] : null;
    review.selected.clear();
    review.emit({ event: "selection" });
    review.announce("Nothing is selected");
    if (focus) gallery.links[at.get(focus)].focus();
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

  // ---- doing: {purpose, command, images, options}

  review.perform = ({ command, images, options }) => review.run(command, images, options);
  const perform = (command, images, options = {}) => review.perform({ command, images, options });
  const all = (tasks, matches) => tasks.every((task) => matches(review.pictureOf(task)));
  const some = (tasks, matches) => tasks.some((task) => matches(review.pictureOf(task)));
  review.bulk.push(
    { label: "Build", key: "b", when: (tasks) => some(tasks, (one) => one.states.some((state) => ["stale", "missing", "failed"].includes(state))), run: (tasks) => perform("build", tasks) },
    { label: "Reroll", key: "r", when: (tasks) => all(tasks, (one) => one.rerolls && one.state !== "edited"), run: (tasks) => perform("reroll", tasks) },
    { label: "Accept", key: "a", when: (tasks) => some(tasks, (one) => ["edited", "stale"].includes(one.state)), run: (tasks) => perform("accept", tasks) },
  );

  // ---- what is going on

  const activity = element("div", { id: "activity", role: "group", "aria-label": "What is going on", hidden: "" });
  review.foot.prepend(activity);
  review.on("action", (event) => {
    activity.hidden = false;
    activity.replaceChildren(element("b", {}, event.state), element("code", {}, event.command));
  });

  // ---- keys

  const usual = (key, label, take) => ({
    key, label, when: () => review.targets().length > 0 && take.when(review.targets()), run: () => take.run(review.targets()),
  });
  const [build, reroll, accept] = review.bulk;
  review.keys.push(usual("b", "Build", build), usual("r", "Reroll", reroll), usual("a", "Accept", accept));

  review.prepareCards = () => cards.forEach(prepare);
  review.prepareCards();
  review.on("pictures", (event) => event.pictures.forEach((picture) => name(cards[at.get(picture.task)])));
  new MutationObserver(showSelection).observe(dialog, { attributes: true, attributeFilter: ["open"] });
})();
