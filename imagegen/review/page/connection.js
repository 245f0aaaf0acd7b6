
// ---- connection: what the server says, what was missed meanwhile, and whether it is still there
(() => {
  const { element } = gallery;
  const banner = element("div", { id: "connection", role: "status" });
  const lines = {}; // by what they are about
  const show = (about, text, isWrong = false) => {
    lines[about] = text ? element("p", { class: isWrong ? "wrong" : "" }, text) : null;
    banner.replaceChildren(...Object.values(lines).filter(Boolean));
  };
  document.querySelector("header.bar").after(banner);

  // an action that was already shown as it is now is not told again
  const known = new Map();
  const same = (action) => `${action.state} ${action.lines.length}`;
  const showHolder = (holder) => show("holder", holder && `${holder.command} is running (process ${holder.pid}, since ${holder.since}). What you do here waits for it.`);
  const showTrouble = (text) => show("trouble", text, true);
  review.on("action", (event) => { known.set(event.number, same(event)); });
  review.on("holder", (event) => showHolder(event.holder));
  review.on("trouble", (event) => showTrouble(event.text));
  review.on("hello", (event) => {
    review.resync(event.version);
    showHolder(event.holder);
    showTrouble(event.trouble);
    for (const action of event.actions) {
      if (action.state === "running" || known.get(action.number) !== same(action)) review.emit({ event: "action", ...action });
    }
  });

  const ended = "The review has ended. Start doit review again, and open the address that it prints.";
  let source = null;
  let isOver = false;
  const disconnect = () => { if (source) source.close(); };
  review.connect = () => {
    disconnect();
    source = new EventSource("events");
    source.addEventListener("message", (message) => review.emit(JSON.parse(message.data)));
    source.addEventListener("open", () => show("server", ""));
    source.addEventListener("error", () => {
      // the browser tries again by itself, unless something else answers at this address
      isOver = source.readyState === EventSource.CLOSED;
      show("server", isOver ? ended : "doit review does not answer. If it has ended, start it again, and open the address that it prints.", true);
    });
  };
  review.on("bye", () => {
    isOver = true;
    disconnect();
    show("server", ended, true);
  });
  // a browser has six connections to a server at most: a tab that nobody looks at does not keep one, and catches up later
  let hidden = 0;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hidden);
    if (document.hidden) hidden = setTimeout(disconnect, 60000);
    else if (!isOver && source.readyState === EventSource.CLOSED) review.connect();
  });
  review.connect();
  for (const action of review.live.actions) known.set(action.number, same(action));
  showHolder(review.live.holder);
  showTrouble(review.live.trouble);
})();
