
// ---- table: the light table, with any pictures beside or over each other
const table = (() => {
  const { $, element, pictures, at, when } = gallery;
  const MOST = 12; // panes on one screen, and names to choose from: more panes scroll
  const GAP = 8;
  const FLICKER_MS = 700;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");

  let source = null; // what is on the table: a function that returns its looks, and what goes with it
  let shown = []; // looks
  let active = 0; // see `chosen`
  let way = "side"; // or flicker, difference, swipe: of the first one and another one
  let second = 1; // that other one
  let timer = 0; // not 0: it flickers by itself
  let isLinked = true;
  let place = panes.newPlace();
  let [viewSize, captionHeight] = [[1, 1], 0]; // of each pane, and of the words below it, as they are laid out
  let made = new Map(); // the panes that are on the table: by the look's index, or the one for two
  const broken = new Set(); // addresses of what is not an image that the browser knows
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
  const divide = (share) => {
    slider.value = String(share * 100);
    list.style.setProperty("--swipe", `${share * 100}%`);
  };
  slider.addEventListener("input", () => divide(slider.value / 100));
  const extra = element("div", { class: "extra" }, play, amplify, slider); // of each way what it needs
  const how = element("div", { class: "group", role: "group", "aria-label": "How to compare" }, ...ways.values());
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

  // ---- which picture it is about

  // What the bar, the keys and all commands are for: always a picture that is on the screen. None while it flickers by itself.
  const chosen = () => (timer ? null : shown[active] || null);
  const canShow = (look) => Boolean(look.href && (look.thumb || look.restores) && !broken.has(look.href));
  const over = () => shown.map((_, index) => index).filter((index) => canShow(shown[index])); // these can lie over each other
  const pair = () => [shown[over()[0]], shown[second]];
  // All that chooses comes here, and has it on the screen. Returns whether it can be.
  const choose = (index) => {
    if (way !== "side" && !over().includes(index)) {
      review.announce(`${shown[index].title} cannot be shown`);
      return false;
    }
    const isOther = way !== "side" && index !== over()[0] && index !== second;
    playing(false);
    active = index;
    if (isOther) {
      second = index;
      render();
    } else {
      showChosen();
    }
    return true;
  };
  const showChosen = () => {
    for (const one of list.querySelectorAll(".pane")) {
      const isActive = way === "side" && Number(one.parentElement.dataset.index) === active && shown.length > 1;
      one.classList.toggle("active", isActive);
      if (isActive) one.setAttribute("aria-current", "true");
      else one.removeAttribute("aria-current");
    }
    list.classList.toggle("second", way === "flicker" && active === second);
    tellWhich();
    renderBar();
    tellZoom();
  };
  // by keys: those beside each other may be beyond the screen
  const reach = (index) => {
    if (way === "side") beside.show(index);
    return choose(index);
  };
  const nextPane = (by) => {
    const ring = way === "side" ? [...shown.keys()] : over().slice(1);
    const from = ring.indexOf(way === "side" ? active : second);
    return reach(ring[(from + by + ring.length) % ring.length]);
  };

  // ---- zoom and pan: of all panes, or of the active one

  const current = () => made.get(way === "side" ? active : 0) || (isLinked ? [...made.values()][0] : undefined);
  const moved = (pane) => {
    panes.drawSoon(isLinked ? [...made.values()] : [pane]);
    if (isLinked || pane === current()) tellZoom();
  };
  const tellZoom = () => {
    const pane = current();
    if (!pane) return;
    percent.textContent = `${Math.round(panes.scale(pane) * 100)} %`;
    press(fitting, Math.abs(panes.zoomOf(pane) - 1) < 0.001);
    press(actual, panes.isActual(pane));
    list.classList.toggle("fits", [...made.values()].every((one) => panes.zoomOf(one) <= 1.001));
  };
  const isZoomed = () => current() && panes.zoomOf(current()) > 1.001;
  const zoom = (by) => current() && panes.step(current(), by);
  const fit = () => {
    if (!current()) return;
    panes.zoomTo(current(), 1);
    tellZoom();
  };
  const oneToOne = () => current() && panes.actualSize(current());
  const link = (isOn) => {
    isLinked = isOn;
    press(linked, isOn);
    if (isOn && current()) place = { ...current().place };
    for (const pane of made.values()) pane.place = isOn ? place : { ...pane.place };
    panes.drawSoon([...made.values()]);
    review.announce(isOn ? "All pictures show the same place" : "Each picture is moved by itself");
  };
  const pan = (dx, dy) => current() && panes.panBy(current(), dx, dy);

  // ---- the panes

  const imageOf = (look, isOver) => {
    // over each other, both are there at once, or a flicker would show more than the difference
    const image = element("img", {
      alt: look.prompt || look.title, decoding: isOver ? "sync" : "async", src: look.href,
    });
    return { image, width: look.width, height: look.height, href: look.href };
  };
  const paneOf = (some, key) => {
    const id = `${key} ${some.map((look) => look.href).join(" ")}`;
    const known = kept.get(id);
    const pane = known || panes.makePane(some.map((look) => imageOf(look, some.length > 1)), place);
    kept.set(id, pane);
    pane.place = isLinked ? place : known ? pane.place : { ...place };
    pane.moved = () => moved(pane);
    pane.isScrolled = () => list.scrollHeight > list.clientHeight + 1;
    pane.draggedTo = way === "swipe" ? divide : null;
    pane.swiped = go;
    pane.failed = (layer) => {
      broken.add(layer.href);
      if (source) render();
    };
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
    if (look.restores) {
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
    const look = chosen();
    const focus = bar.contains(document.activeElement) ? document.activeElement.textContent : null;
    bar.replaceChildren(...(look ? [element("kbd", { "aria-hidden": "true" }, String(numberOf(look, active))), element("b", { dir: "auto" }, look.title),
      element("span", { class: "does" }, ...doing(look))] : [element("span", { class: "quiet" }, "Stop it to decide on one of them")]));
    if (focus !== null) ([...bar.querySelectorAll("button")].find((one) => one.textContent === focus) || list).focus();
  };
  const numberOf = (look, index) => (source.picks ? look.variant : index + 1);

  const figureOf = (index) => {
    const look = shown[index];
    const figure = element("figure", { class: "pane", "aria-label": [look.title, look.isPicked ? "picked" : "", facts(look)].filter(Boolean).join(", ") });
    if (canShow(look)) {
      const pane = paneOf([look], look.key);
      pane.chosen = () => choose(index);
      [pane.width, pane.height] = viewSize;
      made.set(index, pane);
      figure.append(pane.node);
    } else {
      figure.append(element("p", { class: "view none" }, gallery.absence(look)));
    }
    figure.append(caption(look, index));
    figure.addEventListener("focusin", () => choose(index));
    return figure;
  };
  const beside = nearList(list, {
    make: figureOf,
    drop: (index) => {
      for (const [id, pane] of kept) if (pane === made.get(index)) kept.delete(id);
      made.delete(index);
    },
    changed: () => {
      panes.drawSoon([...made.values()]);
      if (Math.max(...[...list.querySelectorAll("figcaption")].map((one) => one.offsetHeight)) > captionHeight) {
        layout();
        beside.show(active);
      }
      follow();
    },
  });
  // who scrolls on has another one before them
  const follow = () => {
    if (!source) return; // it was closed meanwhile
    const index = way === "side" ? beside.seen(active) : active;
    if (index === active) showChosen();
    else choose(index);
  };
  list.addEventListener("scroll", () => { if (way === "side" && beside.seen(active) !== active) follow(); });
  // The first one and another one, over each other. A difference is of what they are over black and over white: only
  // what is alike over both is alike, its transparency too.
  const overEachOther = () => {
    const [a, b] = pair();
    const pane = paneOf(way === "difference" ? [a, b, a, b] : [a, b], way);
    if (way === "difference") {
      const layers = [...pane.node.querySelectorAll(".layer")];
      pane.node.replaceChildren(element("div", { class: "ground" }, ...layers.slice(0, 2)), element("div", { class: "ground white" }, ...layers.slice(2)));
    }
    made.set(0, pane);
    const choices = (over().length > MOST ? [] : over().slice(1)).map((index) => button(shown[index].title, () => choose(index),
      { class: "chip", "aria-label": `Compare with ${shown[index].title}`, "aria-pressed": String(index === second) }));
    const said = element("p", { class: "differs" }, ...looks.differences(a, b));
    return [element("li", {}, element("figure", { class: "pane pair", "aria-label": `${a.title} and ${b.title}` }, pane.node,
      element("figcaption", {}, element("div", { class: "who" }, extra, element("p", { id: "table-which", role: "status" }),
        choices.length > 1 ? element("span", { class: "does" }, element("span", { class: "quiet" }, "with"), ...choices) : null), said)))];
  };

  const render = () => {
    const focus = document.activeElement;
    made = new Map();
    if (way !== "side" && over().length < 2) {
      playing(false);
      way = "side";
    }
    if (!over().slice(1).includes(second)) second = over()[1] ?? 0;
    if (way !== "side" && active !== over()[0]) active = second;
    list.className = [way, list.classList.contains("amplified") ? "amplified" : "", shown.length > MOST ? "many" : ""].join(" ");
    name.textContent = source.name();
    part.textContent = source.part();
    previous.hidden = next.hidden = !source.step && (way === "side" || over().length <= 2);
    for (const [one, by] of [[previous, -1], [next, 1]]) one.setAttribute("aria-disabled", String(Boolean(source.step && !source.has(by))));
    for (const [key, one] of ways) press(one, key === way);
    how.hidden = over().length < 2;
    play.hidden = way !== "flicker" || calm.matches;
    amplify.hidden = way !== "difference";
    slider.hidden = way !== "swipe";
    extra.hidden = [play, amplify, slider].every((one) => one.hidden);
    const top = list.scrollTop;
    beside.stop();
    if (way === "side") beside.put(shown.length, active);
    else list.replaceChildren(...overEachOther());
    showChosen();
    layout();
    list.scrollTop = top;
    if (extra.contains(focus)) focus.focus();
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
    const top = list.scrollTop;
    list.style.gridAutoRows = "auto";
    const caption = tallest(); // in these columns
    const height = Math.max(80, Math.floor((high - GAP * (best.rows - 1)) / best.rows) - caption);
    list.style.gridAutoRows = `${height + caption}px`;
    list.scrollTop = top;
    [viewSize, captionHeight] = [[best.width, height], caption];
    list.style.setProperty("--view", `${height}px`);
    for (const pane of made.values()) [pane.width, pane.height] = viewSize;
    panes.drawSoon([...made.values()]);
    tellZoom();
  };
  new ResizeObserver(() => layout()).observe(list);

  // ---- over each other

  const tellWhich = () => {
    const which = $("table-which");
    if (!which) return;
    const [a, b] = pair();
    const says = {
      flicker: () => (timer ? `Flickering between ${a.title} and ${b.title}` : `Showing ${chosen().title}`),
      difference: () => `What differs between ${a.title} and ${b.title}: where it is black, nothing does`,
      swipe: () => `${a.title} on the left, ${b.title} on the right`,
    };
    which.textContent = says[way]();
  };
  const show = (to) => {
    playing(false);
    if (over().length < 2) return;
    const before = isZoomed() ? panes.scale(current()) : 0;
    way = to;
    if (way !== "side") { // the one that was chosen, with the first
      if (over().slice(1).includes(active)) second = active;
      else if (!over().includes(second)) second = over()[1];
      active = second;
    }
    render();
    if (way === "side") beside.show(active);
    if (before) panes.zoomTo(current(), (panes.zoomOf(current()) * before) / panes.scale(current())); // larger panes, and not larger pictures
  };
  const flicker = () => (way === "flicker" ? choose(active === second ? over()[0] : second) : show("flicker"));
  const playing = (isOn) => {
    if (isOn === Boolean(timer)) return;
    clearInterval(timer);
    timer = isOn && !calm.matches ? setInterval(() => list.classList.toggle("second"), FLICKER_MS) : 0;
    press(play, Boolean(timer));
    if (!isOn) active = list.classList.contains("second") ? second : over()[0] ?? 0; // where it has stopped
    showChosen();
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
  const same = (look) => (look.item && look.variant ? `${look.item} ${look.variant}` : look.key); // a variant, picked or not
  const refresh = () => {
    if (!dialog.open || !source) return undefined;
    const [a, b] = [shown[active], shown[second]].map((look) => look && same(look));
    shown = source.looks();
    const placeOf = (one, before) => {
      const found = shown.findIndex((look) => same(look) === one);
      return found < 0 ? Math.min(before, shown.length - 1) : found; // what was chosen stays chosen, wherever it is now
    };
    [active, second] = [placeOf(a, active), placeOf(b, second)];
    if (!shown.length) return dialog.close();
    const state = JSON.stringify([shown, [...picking], source.name(), source.part(), active]);
    if (state === rendered) return undefined; // something else on the page changed: nothing that is dragged is to be let go
    rendered = state;
    for (const look of shown) if (look.isPicked && picking.get(look.item) === look.variant) picking.delete(look.item);
    return render();
  };
  const go = (by) => {
    if (!source.step) return nextPane(by);
    if (!source.step(by)) return review.announce(by > 0 ? "This was the last one" : "This is the first one");
    playing(false);
    [shown, active, second] = [[], 0, 1];
    kept.clear();
    refresh(); // at the same place: who looks at faces goes on to the next face
    review.announce(`${source.name()}, ${source.part()}`);
  };
  const open = (what) => {
    playing(false);
    source = what;
    [shown, active, second] = [[], 0, 1];
    way = "side";
    broken.clear();
    rendered = "";
    kept.clear();
    place = panes.newPlace();
    if (dialog.open) dialog.close(); // something else may lie over it
    dialog.showModal();
    refresh();
    list.focus();
  };

  // ---- what its keys do

  const arrow = (dx, dy) => (isZoomed() ? pan(dx * -80, dy * -80) : go(dx + dy > 0 ? 1 : -1));
  const number = (which) => {
    if (source.picks) {
      const index = shown.findIndex((look) => look.variant === which);
      if (index < 0) return review.announce(`There is no variant ${which}`);
      if (reach(index)) pick(shown[index]);
    } else if (shown[which - 1] && reach(which - 1)) {
      review.announce(shown[which - 1].title);
    }
    return undefined;
  };
  const decide = () => {
    const look = chosen();
    if (look && look.restores) review.restore(look.restores, look);
    else if (look && source.picks) pick(look);
  };
  const take = () => { if (source.removes && shown.length > 1 && chosen()) remove(chosen()); };
  const acts = {
    number, decide, take, go, nextPane, arrow, zoom, fit, flicker,
    actual: () => (current() && panes.isActual(current()) ? fit() : oneToOne()),
    link: () => link(!isLinked),
    play: () => { if (way !== "flicker") show("flicker"); if (way === "flicker") playing(!timer); },
    turn: (to) => show(way === to ? "side" : to),
  };

  // ---- opening and closing

  dialog.addEventListener("close", () => {
    if (dialog.open) return; // and something else is on it
    playing(false);
    const look = shown[active];
    source = null;
    kept.clear();
    beside.stop();
    list.replaceChildren();
    // what had the focus before has it again, unless it is gone meanwhile
    const focus = document.activeElement;
    if ((!focus || focus === document.body || dialog.contains(focus)) && look && at.has(look.task) && !gallery.dialog.open) gallery.links[at.get(look.task)].focus();
  });
  gallery.filtered.push(refresh); // they are other ones now
  review.on("pictures", refresh);
  return {
    open, refresh, layout, acts, dialog, slider,
    isOpen: () => dialog.open,
    source: () => source,
    place: () => place,
    shown: () => shown,
    targets: () => [chosen()].filter((look) => look && look.isImage).map((look) => look.task),
  };
})();
