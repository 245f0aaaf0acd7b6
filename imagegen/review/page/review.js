"use strict";
// doit review: what the page has besides the gallery. What is done here is done by commands; the server runs them.
const review = (() => {
  const { $, element, buttons, update, at } = gallery;
  const listeners = []; // each takes every event of the server

  const ask = async (address, body) => {
    const answer = await fetch(address, {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    });
    const said = await answer.json().catch(() => ({}));
    if (!answer.ok) throw new Error(said.problem || `the server answered ${answer.status}`);
    return said;
  };
  const run = (command, images, options = {}) => ask("run", { command, images, ...options }).catch((error) => say(error.message));

  const doing = element("div", { id: "doing", role: "status", hidden: "" });
  document.body.append(doing);
  const say = (text) => {
    doing.hidden = false;
    doing.replaceChildren(element("span", {}, text));
  };

  // `doit reroll portraits:mallsing` as the server takes it
  const parse = (command) => {
    const [, first, ...rest] = command.split(" ");
    if (["reroll", "accept", "restore"].includes(first) && rest.length === 1) return [first, rest];
    if (first === "pick") return ["pick", [rest[0]], rest[1] === "--variant" ? { variant: Number(rest[2]) } : {}];
    return first && !rest.length && at.has(first) ? ["build", [first]] : null;
  };
  buttons.push((command) => {
    const parsed = parse(command);
    if (!parsed) return element("span");
    const button = element("button", { type: "button", class: "plain run" }, "Do it");
    button.addEventListener("click", () => run(...parsed));
    return button;
  });

  const source = new EventSource("events");
  source.addEventListener("message", (message) => {
    const event = JSON.parse(message.data);
    if (event.event === "reload") location.reload();
    if (event.event === "pictures") event.pictures.forEach(update);
    if (event.event === "action") {
      doing.hidden = false;
      doing.replaceChildren(element("b", {}, event.state), element("code", {}, event.command));
    }
    for (const listener of listeners) listener(event);
  });

  gallery.refresh();
  return { ask, run, say, listeners };
})();
