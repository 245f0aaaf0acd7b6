
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

  // an action that was already shown as it is now is not reported again
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

  const noAnswer = "doit review does not answer. If it has ended, start it again, and open the address that it prints.";
  const ended = "The review has ended. Start doit review again, and open the address that it prints.";
  let source = null;
  let isOver = false;
  let again = 0;
  const isClosed = () => !source || source.readyState === EventSource.CLOSED;
  const disconnect = () => {
    clearTimeout(again);
    if (source) source.close();
  };
  const end = () => {
    isOver = true;
    disconnect();
    show("server", ended, true);
  };
  // why nothing comes: the browser says that of no answer, and asks no more once it has got one that is not a stream
  const ask = async () => {
    const stop = new AbortController();
    const answer = await fetch("events", { signal: stop.signal }).catch(() => null);
    const said = answer && !answer.ok ? await answer.json().catch(() => ({})) : {};
    stop.abort();
    if (isOver || !isClosed() || document.hidden) return;
    if (answer && answer.ok) review.connect();
    else if (answer && [403, 404].includes(answer.status)) end(); // it is another server, or none of ours
    else {
      show("server", said.problem ? `Nothing new is shown: ${said.problem}. This page tries it again.` : noAnswer, true);
      again = setTimeout(ask, 2000);
    }
  };
  review.connect = () => {
    disconnect();
    source = new EventSource("events");
    source.addEventListener("message", (message) => review.emit(JSON.parse(message.data)));
    source.addEventListener("open", () => show("server", ""));
    source.addEventListener("error", () => {
      if (isClosed()) ask();
      else show("server", noAnswer, true); // the browser tries again by itself
    });
  };
  review.on("bye", end);
  // a browser has six connections to a server at most: a tab that nobody looks at does not keep one, and catches up later
  let hidden = 0;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hidden);
    if (document.hidden) hidden = setTimeout(disconnect, 10000);
    else if (!isOver && isClosed()) review.connect();
  });
  if (!document.hidden) review.connect();
  for (const action of review.live.actions) known.set(action.number, same(action));
  showHolder(review.live.holder);
  showTrouble(review.live.trouble);
})();
