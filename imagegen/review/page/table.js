
// ---- table: the light table, with any pictures beside or over each other
const table = (() => {
  const { $, element, pictures, at, when } = gallery;
  const MOST = 12; // panes on one screen: more of them scroll
  const GAP = 8;
  const FLICKER_MS = 700;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  let source = null; // what is on the table: a function that returns its looks, and what goes with it
  let shown = []; // looks
  let active = 0; // the pane that keys are for
  let way = "side"; // or flicker, difference, swipe: of the first one and another one
  let isLinked = true;
  let place = panes.newPlace();
  let made = []; // the panes that are on the table
  const kept = new Map(); // image and pane by what they show, so that nothing is loaded again
  const picking = new Map(); // item → the number that is being picked

  // ---- what is always there

  const button = (label, run, attributes = {}, ...inside) => {
    const one = element("button", { type: "button", class: "plain", ...attributes }, ...(inside.length ? inside : [label]));
    if (inside.length) one.setAttribute("aria-label", label);
    one.addEventListener("click", (event) => {
      run();
      if (event.detail && dialog.open) list.focus(); // a mouse: the keys go on to be for the pictures
    });
    return one;
  };
  const icon = (label, path, run, attributes = {}) => {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    svg.setAttribute("viewBox", "0 0 16 16");
    svg.setAttribute("aria-hidden", "true");
    line.setAttribute("d", path);
    svg.append(line);
    return button(label, run, { class: "icon", title: label, ...attributes }, svg);
  };
  const press = (one, isOn) => one.setAttribute("aria-pressed", String(isOn));

  const name = element("h2", { id: "table-name", dir: "auto" });
  const part = element("p", { class: "quiet" });
  const list = element("ul", { id: "panes", tabindex: "-1", "aria-label": "Pictures" });
  const bar = element("div", { id: "pane-bar", role: "group", "aria-label": "This picture" });
  const ways = new Map([["side", "Side by side"], ["flicker", "Flicker"], ["difference", "Difference"], ["swipe", "Swipe"]]
    .map(([key, label]) => [key, button(label, () => show(key), { class: "plain", "aria-pressed": "false" })]));
  ways.get("flicker").setAttribute("aria-keyshortcuts", "Space");
  ways.get("difference").setAttribute("aria-keyshortcuts", "d");
  ways.get("swipe").setAttribute("aria-keyshortcuts", "w");
  const play = button("Play", () => playing(!timer), { "aria-pressed": "false", "aria-keyshortcuts": "p" });
  const amplify = button("Amplify", () => amplified(!list.classList.contains("amplified")), { "aria-pressed": "false" });
  const slider = element("input", { type: "range", min: "0", max: "100", value: "50", "aria-label": "How much of the first picture is shown" });
  slider.addEventListener("input", () => list.style.setProperty("--swipe", `${slider.value}%`));
  const how = element("div", { class: "group", role: "group", "aria-label": "How to compare" }, ...ways.values(), play, amplify, slider);
  const percent = element("span", { class: "percent", title: "Pixels of the screen for one of the picture" });
  const fitting = button("Fit", () => fit(), { "aria-keyshortcuts": "f" });
  const actual = button("1:1", () => oneToOne(), { "aria-keyshortcuts": "z", title: "One pixel of the picture is one of the screen" });
  const linked = button("Linked", () => link(!isLinked), { "aria-pressed": "true", "aria-keyshortcuts": "i", title: "All show the same place" });
  const previous = icon("Previous", "M10 3 5 8l5 5", () => go(-1), { "aria-keyshortcuts": "k" });
  const next = icon("Next", "m6 3 5 5-5 5", () => go(1), { "aria-keyshortcuts": "j" });
  const dialog = element("dialog", { id: "table", "aria-labelledby": "table-name", tabindex: "-1" },
    element("header", {},
      element("div", { class: "heading" }, name, part),
      element("div", { class: "tools" },
        how,
        element("div", { class: "group", role: "group", "aria-label": "Zoom" },
          icon("Smaller", "M3 8h10", () => zoom(-1), { "aria-keyshortcuts": "-" }), percent,
          icon("Larger", "M3 8h10M8 3v10", () => zoom(1), { "aria-keyshortcuts": "+" }), fitting, actual, linked)),
      element("div", { class: "buttons" }, previous, next,
        icon("Close", "m4 4 8 8M12 4l-8 8", () => dialog.close(), { "aria-keyshortcuts": "Escape" }))),
    list, bar);
  document.body.append(dialog);

  // ---- zoom and pan: of all panes, or of the active one

  const current = () => made[Math.min(way === "side" ? active : 0, made.length - 1)];
  const moved = (pane) => {
    panes.drawSoon(isLinked ? made : [pane]);
    if (pane === current()) tellZoom();
  };
  const tellZoom = () => {
    const pane = current();
    if (!pane) return;
    percent.textContent = `${Math.round(panes.scale(pane) * 100)} %`;
    press(fitting, Math.abs(pane.place.zoom - 1) < 0.001);
    press(actual, panes.isActual(pane));
    list.classList.toggle("fits", made.every((one) => one.place.zoom <= 1.001));
  };
  const isZoomed = () => current() && current().place.zoom > 1.001;
  const zoom = (by) => current() && panes.step(current(), by);
  const fit = () => {
    for (const pane of isLinked ? made.slice(0, 1) : [current()].filter(Boolean)) panes.zoomTo(pane, 1);
    tellZoom();
  };
  const oneToOne = () => current() && panes.actualSize(current());
  const link = (isOn) => {
    isLinked = isOn;
    press(linked, isOn);
    if (isOn && current()) place = { ...current().place };
    for (const pane of made) pane.place = isOn ? place : { ...pane.place };
    panes.drawSoon(made);
    review.announce(isOn ? "All pictures show the same place" : "Each picture is moved by itself");
  };
  const pan = (dx, dy) => current() && panes.panBy(current(), dx, dy);

  // ---- the panes

  const imageOf = (look, isOver) => {
    // over each other, both are there at once, or a flicker would show more than the difference
    const image = element("img", {
      alt: look.prompt || look.title, decoding: isOver ? "sync" : "async", loading: shown.length > MOST ? "lazy" : "eager", src: look.href,
    });
    return { image, width: look.width, height: look.height };
  };
  const paneOf = (some, key) => {
    const id = `${key} ${some.map((look) => look.href).join(" ")}`;
    const known = kept.get(id);
    const pane = known || panes.makePane(some.map((look) => imageOf(look, some.length > 1)), place);
    kept.set(id, pane);
    pane.place = isLinked ? place : known ? pane.place : { ...place };
    pane.moved = () => moved(pane);
    return pane;
  };
  const facts = (look) => [
    look.restores && look.time ? when(look.time) : "", look.seed && `seed ${look.seed}`,
    look.width > 1 ? `${look.width} × ${look.height}` : "", look.state && look.state !== "fresh" ? look.state : "",
    look.marked && look.marked !== "unmarked" ? `marked ${look.marked}` : "",
  ].filter(Boolean).join(" · ");

  const doing = (look) => {
    const does = [];
    if (look.variant && picking.get(look.item) === look.variant) does.push(element("span", { class: "picked" }, "Picking…"));
    else if (look.isPicked) does.push(element("span", { class: "picked" }, "Picked"));
    else if (look.variant && look.href) does.push(button("Pick", () => pick(look), { "aria-label": `Pick ${look.title}` }));
    if (look.restores && !look.is_now) {
      does.push(button("Restore", () => review.restore(look.restores, look), { "aria-label": `Restore ${look.title.toLowerCase()}` }));
    }
    const bulk = look.isImage ? review.bulk.filter((one) => ["Reroll", "Keep", "Reject"].includes(one.label) && (!one.when || one.when([look.task]))) : [];
    does.push(...bulk.map((one) => button(one.label, () => one.run([look.task]), { class: "plain more", "aria-label": `${one.label} ${look.title}` })));
    if (source.removes && shown.length > 1) does.push(icon(`Remove ${look.title} from the table`, "m4 4 8 8M12 4l-8 8", () => remove(look)));
    return does;
  };
  const caption = (look, index) => {
    const changes = index ? looks.differences(shown[0], look) : [];
    const reference = !index && shown.length > 1 ? "The others are compared with this one" : "";
    return element("figcaption", {},
      element("div", { class: "who" }, element("kbd", { "aria-hidden": "true" }, String(numberOf(look, index))),
        element("p", {}, element("b", { dir: "auto" }, look.title), " ", element("span", { class: "quiet" }, facts(look))),
        element("span", { class: "does" }, ...doing(look))),
      element("p", { class: "differs" }, ...(changes.length ? changes : [element("span", { class: "quiet" }, reference || (shown.length > 1 ? "same words and settings" : ""))])));
  };
  // where there is no room below each picture, what can be done with the active one is at the foot of the table
  const renderBar = () => {
    const look = shown[active];
    bar.replaceChildren(...(look ? [element("kbd", { "aria-hidden": "true" }, String(numberOf(look, active))), element("b", { dir: "auto" }, look.title),
      element("span", { class: "does" }, ...doing(look))] : []));
  };
  const numberOf = (look, index) => (source.picks ? look.variant : index + 1);

  const sideBySide = () => shown.map((look, index) => {
    const figure = element("figure", { class: "pane", "aria-label": [look.title, look.isPicked ? "picked" : "", facts(look)].filter(Boolean).join(", ") });
    if (look.href && (look.thumb || look.restores)) {
      const pane = paneOf([look], look.key);
      pane.chosen = () => choose(index);
      made.push(pane);
      figure.append(pane.node);
    } else {
      figure.append(element("p", { class: "view none" }, "No image yet"));
    }
    figure.append(caption(look, index));
    figure.addEventListener("focusin", () => choose(index));
    return element("li", {}, figure);
  });
  // the first one and another one, over each other
  const pair = () => [shown[0], shown[active || 1]];
  const overEachOther = () => {
    const [a, b] = pair();
    const pane = paneOf([a, b], way);
    made.push(pane);
    const choices = shown.slice(1).map((look, index) => {
      const one = button(look.title, () => { choose(index + 1); render(); }, { class: "chip", "aria-label": `Compare with ${look.title}`, "aria-pressed": String(look === b) });
      return one;
    });
    const said = element("p", { class: "differs" }, ...looks.differences(a, b));
    return [element("li", {}, element("figure", { class: "pane pair", "aria-label": `${a.title} and ${b.title}` }, pane.node,
      element("figcaption", {}, element("div", { class: "who" }, element("p", { id: "table-which", role: "status" }),
        shown.length > 2 ? element("span", { class: "does" }, element("span", { class: "quiet" }, "with"), ...choices) : null), said)))];
  };

  const render = () => {
    const focus = document.activeElement;
    made = [];
    if (shown.filter((look) => look.href).length < 2) way = "side";
    active = Math.max(0, Math.min(active, shown.length - 1));
    list.className = [way, list.classList.contains("amplified") ? "amplified" : ""].join(" ");
    name.textContent = source.name();
    part.textContent = source.part();
    previous.hidden = next.hidden = !source.step;
    for (const [key, one] of ways) press(one, key === way);
    how.hidden = shown.length < 2;
    play.hidden = way !== "flicker" || calm.matches;
    amplify.hidden = way !== "difference";
    slider.hidden = way !== "swipe";
    list.replaceChildren(...(way === "side" ? sideBySide() : overEachOther()));
    choose(active);
    tellFlicker();
    layout();
    if (dialog.contains(document.activeElement)) return;
    const label = focus && focus.getAttribute("aria-label"); // of a button that was made again
    const again = label && [...dialog.querySelectorAll("button")].find((one) => one.getAttribute("aria-label") === label && one.offsetWidth);
    (again || list).focus();
  };

  // the columns with which the pictures are largest
  const layout = () => {
    if (!dialog.open || !list.children.length) return;
    const [wide, high] = [list.clientWidth - 2 * GAP, list.clientHeight - 2 * GAP];
    const count = list.children.length;
    const onScreen = Math.min(count, Math.max(2, Math.min(MOST, Math.round((wide * high) / 60000))));
    const ratio = Math.exp(shown.reduce((sum, look) => sum + Math.log(look.width / look.height), 0) / shown.length);
    const captions = [...list.querySelectorAll("figcaption")];
    const tallest = () => Math.max(0, ...captions.map((one) => one.offsetHeight));
    let best = null;
    for (let columns = 1; columns <= onScreen; columns++) {
      const rows = Math.ceil(onScreen / columns);
      const width = Math.floor((wide - GAP * (columns - 1)) / columns);
      const height = Math.floor((high - GAP * (rows - 1)) / rows) - (best ? best.caption : tallest());
      const side = Math.min(width, Math.max(height, 1) * ratio);
      if (!best || side > best.side) best = { columns, rows, width, side, caption: best ? best.caption : tallest() };
    }
    dialog.classList.toggle("narrow", way !== "side" || best.width < 416);
    list.style.gridTemplateColumns = `repeat(${best.columns}, ${best.width}px)`;
    list.style.gridAutoRows = "auto";
    const caption = tallest(); // in these columns
    const height = Math.max(80, Math.floor((high - GAP * (best.rows - 1)) / best.rows) - caption);
    list.style.gridAutoRows = `${height + caption}px`;
    list.style.setProperty("--view", `${height}px`);
    for (const pane of made) [pane.width, pane.height] = [best.width, height];
    panes.drawSoon(made);
    tellZoom();
  };
  new ResizeObserver(() => layout()).observe(list);

  const choose = (index) => {
    active = index;
    [...list.querySelectorAll(".pane")].forEach((one, number) => {
      const isActive = way === "side" && number === index && shown.length > 1;
      one.classList.toggle("active", isActive);
      if (isActive) one.setAttribute("aria-current", "true");
      else one.removeAttribute("aria-current");
    });
    renderBar();
    tellZoom();
  };

  // ---- over each other

  let timer = 0;
  const tellFlicker = () => {
    const which = $("table-which");
    if (!which) return;
    const [a, b] = pair();
    const isSecond = list.classList.contains("second");
    const says = {
      flicker: () => `Showing ${isSecond ? b.title : a.title}`,
      difference: () => `What differs between ${a.title} and ${b.title}: where it is black, nothing does`,
      swipe: () => `${a.title} on the left, ${b.title} on the right`,
    };
    which.textContent = says[way]();
  };
  const show = (to) => {
    playing(false);
    if (shown.length < 2) return;
    const before = isZoomed() ? panes.scale(current()) : 0;
    way = to;
    if (way !== "side" && !active) active = 1;
    list.classList.remove("second");
    render();
    if (before) panes.zoomTo(current(), (current().place.zoom * before) / panes.scale(current())); // larger panes, and not larger pictures
  };
  const flicker = () => {
    if (way !== "flicker") show("flicker");
    list.classList.toggle("second");
    tellFlicker();
  };
  const playing = (isOn) => {
    clearInterval(timer);
    timer = isOn && !calm.matches ? setInterval(() => list.classList.toggle("second"), FLICKER_MS) : 0;
    press(play, Boolean(timer));
    if (!timer) tellFlicker();
    else $("table-which").textContent = `Flickering between ${pair().map((look) => look.title).join(" and ")}`;
  };
  const amplified = (isOn) => {
    list.classList.toggle("amplified", isOn);
    press(amplify, isOn);
  };

  // ---- what is done

  const pick = async (look) => {
    if (!look || look.isPicked || !look.href) return;
    picking.set(look.item, look.variant);
    review.announce(`Picking ${look.title}`);
    refresh();
    const action = await review.perform({ purpose: "Pick this variant as the image", command: "pick", images: [look.item], options: { variant: look.variant } });
    if (!action) picking.delete(look.item);
    else picked.set(action.number, look.item);
    refresh();
  };
  const picked = new Map(); // an action's number → the item
  review.on("action", (event) => {
    if (!picked.has(event.number) || !["done", "failed", "cancelled"].includes(event.state)) return;
    const item = picked.get(event.number);
    if (event.state !== "done") picking.delete(item);
    picked.delete(event.number);
    refresh();
  });
  const remove = (look) => {
    source.removes(look);
    refresh();
    review.announce(`${look.title} is no longer on the table`);
    list.focus();
  };

  // ---- what is on the table

  let rendered = "";
  const refresh = () => {
    if (!dialog.open || !source) return undefined;
    shown = source.looks();
    if (!shown.length) return dialog.close();
    const state = JSON.stringify([shown, [...picking], source.name(), source.part(), active]);
    if (state === rendered) return undefined; // something else on the page changed: nothing that is dragged is to be let go
    rendered = state;
    for (const look of shown) if (look.isPicked && picking.get(look.item) === look.variant) picking.delete(look.item);
    return render();
  };
  const go = (by) => {
    if (!source.step) return choose((active + by + shown.length) % shown.length);
    if (!source.step(by)) return review.announce(by > 0 ? "This was the last one" : "This is the first one");
    playing(false);
    active = 0;
    kept.clear();
    refresh(); // at the same place: who looks at faces goes on to the next face
    review.announce(`${source.name()}, ${source.part()}`);
  };
  const open = (what) => {
    source = what;
    active = 0;
    way = "side";
    rendered = "";
    kept.clear();
    place = panes.newPlace();
    if (dialog.open) dialog.close(); // something else may lie over it
    dialog.showModal();
    refresh();
    list.focus();
  };

  // ---- keys

  const arrow = (dx, dy) => (isZoomed() ? pan(dx * -80, dy * -80) : go(dx + dy > 0 ? 1 : -1));
  const number = (which) => {
    if (source.picks) {
      const index = shown.findIndex((look) => look.variant === which);
      if (index < 0) return review.announce(`There is no variant ${which}`);
      choose(index);
      pick(shown[index]);
    } else if (shown[which - 1]) {
      choose(which - 1);
      if (way !== "side") render();
      review.announce(shown[which - 1].title);
    }
    return undefined;
  };
  const take = () => { if (source.removes && shown.length > 1) remove(shown[active]); };
  const own = [
    { key: "1", shows: "1–9", label: "Pick that variant, or choose that pane", run: () => number(1) },
    ...[2, 3, 4, 5, 6, 7, 8, 9].map((which) => ({ key: String(which), isHidden: true, run: () => number(which) })),
    { key: "j", label: "Next item, or next pane", run: () => go(1) },
    { key: "k", label: "Previous item, or previous pane", run: () => go(-1) },
    { key: "]", label: "Next pane", run: () => { choose((active + 1) % shown.length); if (way !== "side") render(); } },
    { key: "[", label: "Previous pane", run: () => { choose((active + shown.length - 1) % shown.length); if (way !== "side") render(); } },
    { key: "ArrowRight", shows: "← → ↑ ↓", label: "Move the pictures; or next, previous", run: () => arrow(1, 0) },
    { key: "ArrowLeft", isHidden: true, run: () => arrow(-1, 0) },
    { key: "ArrowDown", isHidden: true, run: () => arrow(0, 1) },
    { key: "ArrowUp", isHidden: true, run: () => arrow(0, -1) },
    { key: "+", label: "Larger", run: () => zoom(1) },
    { key: "=", isHidden: true, run: () => zoom(1) },
    { key: "-", label: "Smaller", run: () => zoom(-1) },
    { key: "f", label: "Fit", run: () => fit() },
    { key: "z", label: "One pixel for one (1:1)", run: () => (panes.isActual(current()) ? fit() : oneToOne()) },
    { key: "i", label: "Move each picture by itself, or all together", run: () => link(!isLinked) },
    { key: " ", shows: "Space", label: "Flicker between two", run: () => { playing(false); flicker(); } },
    { key: "p", label: "Flicker by itself", run: () => { if (way !== "flicker") show("flicker"); if (way === "flicker") playing(!timer); } },
    { key: "d", label: "Difference of two", run: () => show(way === "difference" ? "side" : "difference") },
    { key: "w", label: "Swipe between two", run: () => show(way === "swipe" ? "side" : "swipe") },
    { key: "Backspace", isHidden: true, run: () => take() },
    { key: "Delete", label: "Take the pane off the table", run: () => take() },
  ];
  dialog.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    if (target === slider && event.key.startsWith("Arrow")) return event.stopPropagation();
    if (event.key === " " && target.closest("button")) return;
    const key = own.find((one) => one.key === event.key);
    if (!key) {
      // what is done to an image is done to that of the active pane; all else is for the page below
      if (!["?", "u", "0", ...review.bulk.map((one) => one.key)].includes(event.key)) event.stopPropagation();
      return;
    }
    event.preventDefault();
    event.stopPropagation(); // it is not for the page below
    key.run();
  });
  review.keys.push(...own.map((one) => ({ ...one, place: "Light table", when: () => dialog.open })));

  // ---- opening and closing

  dialog.addEventListener("close", () => {
    if (dialog.open) return; // and something else is on it
    playing(false);
    const look = shown[active];
    source = null;
    kept.clear();
    list.replaceChildren();
    // what had the focus before has it again, unless it is gone meanwhile
    const focus = document.activeElement;
    if ((!focus || focus === document.body || dialog.contains(focus)) && look && at.has(look.task) && !gallery.dialog.open) gallery.links[at.get(look.task)].focus();
  });
  gallery.filtered.push(refresh); // they are other ones now
  review.on("pictures", refresh);
  return {
    open, refresh, layout,
    isOpen: () => dialog.open,
    source: () => source,
    place: () => place,
    shown: () => shown,
    targets: () => [shown[active]].filter((look) => look && look.isImage).map((look) => look.task),
  };
})();
