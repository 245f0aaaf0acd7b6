"use strict";
// doit review: what the page has besides the gallery. What is decided here is done by commands; the server runs them.
// The other scripts of this folder come after this one, and add to what `review` offers.
const review = (() => {
  const { element, pictures, cards, at, dialog, live } = gallery;
  const listeners = new Map(); // by an event's name, what takes it; "*" takes all
  const on = (name, listener) => listeners.set(name, [...(listeners.get(name) || []), listener]);
  const emit = (event) => {
    for (const listener of [...(listeners.get(event.event) || []), ...(listeners.get("*") || [])]) listener(event);
  };

  const plural = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
  const button = (label, act, attributes = {}) => {
    const made = element("button", { type: "button", class: "plain", ...attributes }, label);
    made.addEventListener("click", act);
    return made;
  };

  // ---- the server

  const ask = async (address, body) => {
    const text = JSON.stringify(body);
    const answer = await fetch(address, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: text,
      keepalive: text.length < 3e4, // arrives although the page is closed meanwhile; browsers take no more than 64 KiB so
    }).catch(() => { throw new Error("doit review does not answer"); });
    const said = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(said.problem || `The server refused it (${answer.status})`);
    return said;
  };
  const run = (command, images, options = {}) =>
    ask("run", { command, images, ...options }).catch((error) => { say(error.message); return null; });

  // ---- which images an action is for, whether by a key or a button: `subject` says it for all of them

  const selected = new Set(); // tasks
  const select = (tasks, isOn = true) => {
    for (const task of tasks) {
      if (isOn && at.has(task)) selected.add(task);
      else selected.delete(task);
    }
    emit({ event: "selection" });
  };
  const shownTasks = () => gallery.shown().map((index) => pictures[index].task);
  const focused = () => {
    const card = document.activeElement && document.activeElement.closest(".card");
    return card ? pictures[cards.indexOf(card)].task : null;
  };
  const subject = () => {
    if (review.table && review.table.isOpen()) return "table";
    if (dialog.open) return "image";
    return selected.size ? "selection" : "focus";
  };
  const targets = () => ({
    table: () => review.table.targets(),
    image: () => (gallery.current() ? [gallery.current().task] : []),
    selection: () => shownTasks().filter((task) => selected.has(task)),
    focus: () => (focused() ? [focused()] : []),
  })[subject()]();
  const pictureOf = (task) => pictures[at.get(task)];

  // ---- keys: {key, label, place, when() or none, run(event), shows, isHidden, repeats}; `?` lists them by place

  const keys = [];
  const isTyping = (target) => target.closest("input:not([type=checkbox]), select, textarea, [contenteditable]");
  // Who types goes on typing although the field has just gone, or a dialog has opened over it: nothing of that is a command.
  // It is over with a pause, a click, or a key that leaves a field.
  const PAUSE_MS = 1500;
  let typed = null; // {field, event, time}: the last letter, and when a key was last pressed
  const leaves = ({ key, target, ctrlKey, metaKey }) =>
    ["Escape", "Tab"].includes(key) || (key === "Enter" && (ctrlKey || metaKey || target.tagName !== "TEXTAREA"));
  const isTakenFrom = (field, target) => !field.offsetWidth || Boolean(target.closest("dialog") && !target.closest("dialog").contains(field));
  window.addEventListener("pointerdown", () => { typed = null; }, true);
  window.addEventListener("keydown", (event) => {
    const field = isTyping(event.target);
    if (field || leaves(event) || event.ctrlKey || event.metaKey || event.altKey) {
      typed = field && !leaves(event) ? { field, event, time: event.timeStamp } : null;
      return;
    }
    if (!typed || !isTakenFrom(typed.field, event.target) || typed.event.defaultPrevented || event.timeStamp - typed.time > PAUSE_MS) return;
    typed.time = event.timeStamp;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, true);
  // What had the focus may have gone, or one has clicked beside it: the next move is from the card that had it last.
  let place = null;
  document.addEventListener("focusin", (event) => { place = event.target.closest(".card") || place; });
  const goBack = () => {
    if (document.activeElement !== document.body || document.querySelector("dialog[open]")) return;
    if (place && place.isConnected && !place.hidden) place.firstElementChild.focus({ preventScroll: true });
  };
  window.addEventListener("keydown", ({ key }) => { if (["j", "k"].includes(key) || key.startsWith("Arrow")) goBack(); }, true);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTyping(event.target)) return;
    if (document.querySelector(".question[open]")) return;
    const key = keys.find((one) => one.key === event.key && (!one.when || one.when()));
    if (!key) return;
    event.preventDefault();
    if (!event.repeat || key.repeats) key.run(event); // held down, it does once what it does
  });

  // ---- the foot of the page: what is going on, and what is selected. It is in whatever dialog is open, which would hide it

  const foot = element("section", { id: "foot", "aria-label": "Selection and actions" });
  const said = element("p", { class: "hidden", role: "status" });
  const problem = element("p", { id: "problem", role: "alert", hidden: "" });
  foot.append(said, problem);
  document.body.append(foot);
  const placeFoot = () => {
    emit({ event: "subject" }); // it may be another one
    const open = [...document.querySelectorAll("dialog[open]:not(.small-dialog)")].pop() || document.body;
    if (foot.parentElement === open) return;
    const focus = foot.contains(document.activeElement) ? document.activeElement : null;
    open.append(foot);
    if (focus) focus.focus();
  };
  new MutationObserver(placeFoot).observe(document.body, { attributes: true, attributeFilter: ["open"], subtree: true });
  placeFoot(); // the address may name an image, which is open by now
  new ResizeObserver(() => document.documentElement.style.setProperty("--foot", `${foot.offsetHeight}px`)).observe(foot);

  // for those who listen: what has just happened
  const announce = (text) => { said.textContent = text; };
  // what went wrong, to be seen by everybody
  const say = (text) => {
    problem.hidden = !text;
    problem.replaceChildren(element("span", {}, text));
    if (!text) return;
    problem.append(button("Dismiss", () => say(""), { class: "text" }));
  };

  const verbs = { build: "Build", pick: "Pick", reroll: "Reroll", accept: "Accept", restore: "Restore", mark: "Mark" };
  gallery.buttons.push((action) => {
    const verb = action.options.always ? "Generate again" : action.options.variant === 0 ? "Unpick" : verbs[action.command];
    return button(verb, () => review.perform(action), { class: "plain run", "aria-label": `${verb}: ${action.purpose}` });
  });

  // bulk: {label, key or none, when(tasks) or none, run(tasks)}: the buttons for what is selected
  return { ask, run, say, announce, on, emit, keys, bulk: [], selected, select, subject, targets, focused, pictureOf, foot, live, shownTasks, button, plural, verbs };
})();
