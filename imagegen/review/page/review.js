"use strict";
// doit review: what the page has besides the gallery. What is decided here is done by commands; the server runs them.
// The other scripts of this folder come after this one, and add to what `review` offers.
const review = (() => {
  const { element, pictures, cards, at, dialog } = gallery;
  const listeners = new Map(); // by an event's name, what takes it
  const on = (name, listener) => listeners.set(name, [...(listeners.get(name) || []), listener]);

  // ---- the server

  const ask = async (address, body) => {
    const answer = await fetch(address, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    const said = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(said.problem || `The server refused it (${answer.status})`);
    return said;
  };
  const run = (command, images, options = {}) =>
    ask("run", { command, images, ...options }).catch((error) => { say(error.message); });

  // ---- which images an action is for: the open one, or the selected ones, or the one that has the focus

  const selected = new Set(); // tasks
  const focused = () => {
    const card = document.activeElement && document.activeElement.closest(".card");
    return card ? pictures[cards.indexOf(card)].task : null;
  };
  const targets = () => {
    if (dialog.open) return gallery.current() ? [gallery.current().task] : [];
    if (selected.size) return [...selected].sort((a, b) => at.get(a) - at.get(b));
    return focused() ? [focused()] : [];
  };

  // ---- keys: {key, label, when() or none, run(event)}; `?` lists them

  const keys = [];
  const isTyping = (target) => target.closest("input:not([type=checkbox]), select, textarea, [contenteditable]");
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTyping(event.target)) return;
    const key = keys.find((one) => one.key === event.key && (!one.when || one.when()));
    if (!key) return;
    event.preventDefault();
    key.run(event);
  });

  // ---- what is going on

  const doing = element("div", { id: "doing", role: "status", hidden: "" });
  document.body.append(doing);
  const say = (text) => {
    doing.hidden = false;
    doing.replaceChildren(element("span", {}, text));
  };
  on("action", (event) => {
    doing.hidden = false;
    doing.replaceChildren(element("b", {}, event.state), element("code", {}, event.command));
  });

  // `doit reroll portraits:mallsing` as the server takes it
  const parse = (command) => {
    const [, first, ...rest] = command.split(" ");
    if (["reroll", "accept", "restore"].includes(first) && rest.length === 1) return [first, rest];
    if (first === "pick") return ["pick", [rest[0]], rest[1] === "--variant" ? { variant: Number(rest[2]) } : {}];
    return first && !rest.length && at.has(first) ? ["build", [first]] : null;
  };
  gallery.buttons.push((command) => {
    const parsed = parse(command);
    if (!parsed) return element("span");
    const button = element("button", { type: "button", class: "plain run" }, "Do it");
    button.addEventListener("click", () => run(...parsed));
    return button;
  });

  // ---- events

  on("reload", () => location.reload());
  on("pictures", (event) => event.pictures.forEach(gallery.update));
  const source = new EventSource("events");
  source.addEventListener("message", (message) => {
    const event = JSON.parse(message.data);
    for (const listener of listeners.get(event.event) || []) listener(event);
  });

  const live = JSON.parse(gallery.$("live").textContent);
  return { ask, run, say, on, keys, selected, targets, live };
})();
