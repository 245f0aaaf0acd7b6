"use strict";
// Search, filters, the view of one image. Nothing here builds markup from text: all of it goes in as textContent.
// doit review has this script too, and adds its own after it, by way of what `gallery` offers.
const gallery = (() => {
  const title = document.title;
  const $ = (id) => document.getElementById(id);
  const pictures = JSON.parse($("data").textContent);
  const cards = [...document.querySelectorAll(".card")];
  const links = cards.map((card) => card.firstElementChild);
  const jobs = [...document.querySelectorAll(".job")];
  const selects = [...document.querySelectorAll("[data-facet]")];
  const chips = [...document.querySelectorAll(".chip")];
  const at = new Map(pictures.map((picture, index) => [picture.task, index]));

  const element = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      made.setAttribute(name, value);
    }
    made.append(...children.filter((child) => child !== null));
    return made;
  };

  // children in this order; what is in its place stays untouched, so that it keeps the focus and what is typed there
  const arrange = (parent, children, replaced = "*") => {
    const wanted = new Set(children);
    for (const child of [...parent.children]) if (child.matches(replaced) && !wanted.has(child)) child.remove();
    let next = null;
    for (const child of [...children].reverse()) {
      if (child.nextElementSibling !== next || child.parentElement !== parent) parent.insertBefore(child, next);
      next = child;
    }
  };

  // ---- search and filters

  const folded = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  const textOf = (picture) =>
    folded([picture.name, picture.part, picture.task, picture.prompt, picture.note ? picture.note.value : "",
      ...picture.wanted.map((one) => one.new)].join("\n"));
  const texts = pictures.map(textOf);
  const matchers = []; // more filters, each a function of a picture
  const filtered = []; // called whenever other pictures are shown
  let state = "";
  let shown = pictures.map((_, index) => index);

  const filter = () => {
    const words = folded($("search").value).split(/\s+/).filter(Boolean);
    const facets = selects.filter((select) => select.value).map((select) => [select.dataset.facet, select.value]);
    const counts = { "": 0 };
    shown = [];
    pictures.forEach((picture, index) => {
      const matches = words.every((word) => texts[index].includes(word)) && facets.every(([key, value]) => picture[key] === value)
        && matchers.every((matcher) => matcher(picture));
      if (matches) {
        counts[""] += 1;
        for (const one of picture.states) counts[one] = (counts[one] || 0) + 1;
      }
      const visible = matches && (!state || picture.states.includes(state));
      if (visible) shown.push(index);
      if (cards[index].hidden === visible) cards[index].hidden = !visible;
    });
    for (const chip of chips) {
      chip.lastElementChild.textContent = counts[chip.dataset.state] || 0;
      chip.setAttribute("aria-pressed", String(chip.dataset.state === state));
    }
    const some = shown.length < pictures.length;
    const seen = new Set(shown.map((index) => pictures[index].job));
    for (const job of jobs) job.hidden = some && !seen.has(job.dataset.job);
    $("count").textContent = `${some ? `${shown.length} of ` : ""}${pictures.length} image${pictures.length === 1 ? "" : "s"}`;
    $("nothing").hidden = shown.length > 0 || !pictures.length;
    $("clear").hidden = !(words.length || facets.length || state);
    for (const listener of filtered) listener();
    const card = document.activeElement && document.activeElement.closest(".card");
    if (!card || !card.hidden) return;
    const next = shown.find((index) => index > cards.indexOf(card)) ?? shown[shown.length - 1];
    if (next !== undefined) links[next].focus();
  };
  let waiting = 0;
  const filterSoon = () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(filter);
  };
  const clear = () => {
    $("search").value = "";
    for (const select of selects) select.value = "";
    state = "";
    filter();
    $("search").focus();
  };
  $("search").addEventListener("input", filterSoon);
  for (const select of selects) select.addEventListener("change", filter);
  for (const chip of chips) {
    chip.addEventListener("click", () => {
      state = state === chip.dataset.state ? "" : chip.dataset.state;
      filter();
    });
  }
  $("clear").addEventListener("click", clear);
  $("clear-all").addEventListener("click", clear);

  // ---- the view of one image

  const dialog = $("detail");
  let current = -1;
  let pushed = false; // whether Back leads to the grid

  const path = (text) => text.split("/").map(encodeURIComponent).join("/");
  const when = (time) => {
    const date = new Date(time);
    return Number.isNaN(date.getTime()) ? time : date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  };
  const took = (seconds) => {
    if (seconds < 0.1) return "under 0.1 s";
    if (seconds < 90) return `${Number(seconds.toFixed(1))} s`;
    return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  };
  const bytes = (size) => (size < 1e6 ? `${Math.max(1, Math.round(size / 1e3))} kB` : `${(size / 1e6).toFixed(1)} MB`);

  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // not every browser has the clipboard for a page that is a file
      const area = element("textarea", { class: "hidden" });
      area.value = text;
      dialog.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      if (!done) return "Copying is not allowed here: select the text instead";
    }
    return "Copied";
  };
  const copyButton = (text, label) => {
    const button = element("button", { type: "button", class: "plain", "aria-label": label }, "Copy");
    button.addEventListener("click", async () => {
      const said = await copy(text);
      button.focus();
      button.textContent = said === "Copied" ? said : "Copy";
      $("said").textContent = said;
      setTimeout(() => { button.textContent = "Copy"; $("said").textContent = ""; }, 1600);
    });
    return button;
  };

  const section = (title, ...content) => element("section", {}, element("h3", {}, title), ...content);
  const words = (title, text) => element("section", {},
    element("div", { class: "over" }, element("h3", {}, title), copyButton(text, `Copy the ${title.toLowerCase()}`)),
    // a single line break is where a file was wrapped, an empty line a paragraph
    ...text.trim().split(/\n\s*\n/).map((part) => element("p", { class: "words", dir: "auto" }, part)));
  const list = (rows) => element("dl", {}, ...rows.filter(([, value]) => value).flatMap(([name, value, kind]) =>
    [element("dt", {}, name), element("dd", kind ? { class: kind } : {}, value)]));

  const parameters = (picture) => {
    const sizes = new Map(picture.parameters);
    const others = picture.parameters.filter(([name]) => !["width", "height"].includes(name));
    return [
      ["backend", [picture.backend, picture.version].filter(Boolean).join(" ")],
      ["model", picture.model],
      ["digest", picture.digest, "code"],
      ["seed", picture.seed || (picture.backend ? "drawn when it is made" : "")],
      ["size", sizes.size && sizes.has("width") ? `${sizes.get("width")} × ${sizes.get("height")}` : ""],
      ...others,
    ];
  };

  const changes = (earlier, now) => {
    const flat = (one) => new Map([...one.parameters, ["seed", one.seed], ["negative prompt", one.negative],
      ["prompt", one.prompt], ["model", one.model], ["backend", one.backend]]);
    const [old, fresh] = [flat(earlier), flat(now)];
    const names = [...new Set([...old.keys(), ...fresh.keys()])].filter((name) => (old.get(name) || "") !== (fresh.get(name) || ""));
    const brief = (value) => value || "none";
    return names.map((name) => (name.endsWith("prompt") ? `another ${name}` : `${name} ${brief(old.get(name))}`)).join(", ");
  };

  // word by word: the longest common sequence stays, the rest goes or comes
  const difference = (old, fresh) => {
    const [a, b] = [old.split(/(?<=\s)/), fresh.split(/(?<=\s)/)];
    const same = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
    for (let i = a.length - 1; i >= 0; i--) {
      for (let j = b.length - 1; j >= 0; j--) {
        same[i][j] = a[i].trim() === b[j].trim() ? same[i + 1][j + 1] + 1 : Math.max(same[i + 1][j], same[i][j + 1]);
      }
    }
    const parts = [];
    const put = (kind, word) => {
      if (parts.length && parts[parts.length - 1][0] === kind) parts[parts.length - 1][1] += word;
      else parts.push([kind, word]);
    };
    let [i, j] = [0, 0];
    while (i < a.length || j < b.length) {
      if (i < a.length && j < b.length && a[i].trim() === b[j].trim()) {
        put("", b[j++]);
        i += 1;
      }
      else if (j >= b.length || (i < a.length && same[i + 1][j] >= same[i][j + 1])) put("del", a[i++]);
      else put("ins", b[j++]);
    }
    return parts.map(([kind, text]) => (kind ? element(kind, {}, text) : text));
  };
  const wanted = (one) => element("div", {}, element("span", { class: "quiet" }, one.field),
    element("p", { dir: "auto" }, ...(/\s/.test(one.old) && /\s/.test(one.new)
      ? difference(one.old, one.new)
      : [element("del", {}, one.old || "none"), " → ", element("ins", {}, one.new || "none")])));

  const live = JSON.parse($("live")?.textContent || "null"); // of doit review, which has buttons and a field for marks and notes
  // what there is to do about a picture: {purpose, command, images, options}, from which the command line follows
  const whatToDo = ({ state, task, item, variant, rerolls, earlier, is_given: isGiven }) => {
    if (isGiven) return [];
    const act = (purpose, command, images = [task], options = {}) => ({ purpose, command, images, options });
    if (state === "missing" || state === "failed") return [act("Make it", "build")]; // or restore it
    const actions = {
      edited: [act("Keep the edited file as the image", "accept")],
      stale: [act("Make what the job asks for now", "build")],
      fresh: [act(rerolls ? "Make it again with the same seed, so the same picture" : "Make it again", "build", [task], { always: true })],
    }[state];
    if (rerolls && state !== "edited") actions.push(act("Make it with another seed", "reroll"));
    if (variant && task === item) actions.push(act("Have all its variants as images again", "pick", [item], { variant: 0 }));
    else if (variant) actions.push(act("Pick this variant as the image", "pick", [item], { variant }));
    if (earlier.length && state !== "edited") actions.push(act("Go back to the version before (--list shows all)", "restore"));
    return live ? actions : [...actions, act("Mark it: keep, reject or later; --note writes a note", "mark", [task], { as: "keep" })];
  };
  // as a shell takes it
  const quote = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`);
  const commandText = ({ command, images, options = {} }) => ["doit", ...(live ? live.leading : []),
    ...(command === "build" ? (options.always ? ["-a"] : []) : [command]), ...images,
    ...Object.entries(options).filter(([name]) => name !== "always").flatMap(([name, value]) => (value === true ? [`--${name}`] : [`--${name}`, String(value)])),
  ].map(quote).join(" ");
  const buttons = []; // each makes a button to stand beside an action's command, or null
  const commandLine = (action) => element("div", { class: "command" }, element("code", {}, commandText(action)),
    ...buttons.map((button) => button(action)).filter(Boolean), copyButton(commandText(action), "Copy the command"));
  const additions = []; // each makes sections of the view of a picture, above all others
  const standing = (picture) => {
    const says = { fresh: "Fresh", stale: "Stale", missing: "Missing", edited: "Edited", failed: "Failed" };
    const lines = [...picture.failure, ...picture.why];
    $("detail-state").className = `standing ${picture.state}`;
    $("detail-state").replaceChildren(
      element("p", {}, element("i", { "aria-hidden": "true" }), element("b", {}, picture.is_given ? "A file that was there already" : says[picture.state])),
      element("ul", {}, ...lines.map((line) => element("li", { class: "quiet", dir: "auto" }, line))));
  };

  // marks and notes: what people said of a picture
  const symbols = ({ mark, note }) => element("span", { class: "remarks" },
    mark ? element("i", { class: `mark ${mark.value}${mark.is_current ? "" : " other"}` }) : null,
    note ? element("i", { class: "mark noted" }) : null);
  const about = (remark) => element("span", { class: "quiet" }, [
    remark.is_current ? "" : "for another version of this image", remark.by, when(remark.time)].filter(Boolean).join(" · "));
  const remarks = ({ mark, note }) => [
    mark ? section("Mark", element("p", { class: "remark" }, element("i", { class: `mark ${mark.value}${mark.is_current ? "" : " other"}`, "aria-hidden": "true" }),
      element("b", {}, mark.value[0].toUpperCase() + mark.value.slice(1)), about(mark))) : null,
    note ? section("Note", element("p", { class: "words lines", dir: "auto" }, note.value), about(note)) : null,
  ].filter(Boolean);
  additions.push(remarks);

  const compare = (picture, button, version) => {
    const on = version !== null && button.getAttribute("aria-pressed") !== "true";
    for (const other of document.querySelectorAll(".versions button")) other.setAttribute("aria-pressed", "false");
    $("before").hidden = $("now-caption").hidden = !on;
    if (!on) return;
    button.setAttribute("aria-pressed", "true");
    $("before-image").src = version.image;
    $("before-image").alt = `Earlier version of ${picture.name}`;
    $("before-caption").textContent = `Earlier, ${when(version.time)}`;
    $("stage").scrollIntoView({ block: "start" });
  };

  const derived = (one) => {
    const image = element("span", { class: "small" },
      one.thumb ? element("img", { src: one.thumb, alt: "", loading: "lazy", decoding: "async" }) : null);
    const said = element("span", {}, element("b", {}, one.name),
      one.state === "fresh" ? null : element("span", { class: `told ${one.state}` }, [one.state, ...one.why].join(": ")),
      element("span", { class: "quiet" }, [one.steps, one.size ? bytes(one.size) : ""].filter(Boolean).join(" · ")),
      element("span", { class: "quiet" }, one.path));
    return element("li", {}, one.href && one.sha256 ? element("a", { href: path(one.href), target: "_blank", rel: "noopener" }, image, said) : element("div", {}, image, said));
  };

  // the frames of a sheet, over its image wherever that is drawn
  const marks = $("marks");
  const place = () => {
    const image = $("now-image");
    for (const side of ["Left", "Top", "Width", "Height"]) marks.style[side.toLowerCase()] = `${image[`offset${side}`]}px`;
  };
  new ResizeObserver(place).observe($("now-image"));
  const markFrames = (picture) => {
    marks.replaceChildren(...picture.frames.map((frame) => {
      const known = at.has(frame.task);
      const mark = element(known ? "a" : "span", known ? { href: `#${frame.task}` } : {}, element("span", {}, frame.name));
      ["left", "top", "width", "height"].forEach((side, index) => { mark.style[side] = `${frame.box[index] * 100}%`; });
      return mark;
    }));
    place();
  };

  const versions = (picture) => element("ul", { class: "versions" }, ...picture.earlier.map((version) => {
    const button = element("button", { type: "button", "aria-pressed": "false" },
      element("img", { src: version.image, alt: "", loading: "lazy", decoding: "async" }),
      element("span", {}, element("span", {}, when(version.time)),
        element("span", { class: "quiet" }, changes(version, picture) || "made with the same settings")));
    button.addEventListener("click", () => compare(picture, button, version));
    return element("li", {}, button);
  }));
  const offered = { versions }; // what another script can have done in another way

  const absence = (picture) => (picture.sha256 || picture.size ? "The file cannot be shown here" : "No image yet");
  const show = (index) => {
    const picture = pictures[index];
    const isOther = index !== current;
    current = index;
    $("detail-name").textContent = picture.name;
    $("detail-part").textContent = [picture.part, picture.job].filter(Boolean).join(" · ");
    standing(picture);
    const image = $("now-image");
    $("now").style.setProperty("--ratio", String(picture.width / picture.height)); // its room, before it is loaded
    $("now").style.setProperty("--tall", `${picture.height}px`);
    image.hidden = !picture.thumb;
    $("now-empty").hidden = Boolean(picture.thumb);
    $("now-empty").textContent = absence(picture);
    if (picture.thumb) {
      image.alt = picture.prompt || picture.name;
      image.src = path(picture.href);
    } else {
      image.removeAttribute("src");
    }
    const file = picture.thumb
      ? element("a", { href: path(picture.href), target: "_blank", rel: "noopener" }, picture.path) : picture.path;
    markFrames(picture);
    arrange($("detail-body"), [
      ...additions.flatMap((addition) => addition(picture)),
      ...whatToDo(picture).map((action) => section(action.purpose, commandLine(action))),
      picture.prompt ? words("Prompt", picture.prompt) : null,
      picture.negative ? words("Negative prompt", picture.negative) : null,
      picture.wanted.length ? section("The job now asks for", element("div", { class: "changes" }, ...picture.wanted.map(wanted))) : null,
      picture.derived.length ? section("Made from it", element("ul", { class: "files" }, ...picture.derived.map(derived))) : null,
      picture.frames.length ? section(`${picture.frames.length} frame${picture.frames.length === 1 ? "" : "s"}`, element("ul", { class: "frames" },
        ...picture.frames.map((frame) => element("li", {}, at.has(frame.task) ? element("a", { href: `#${frame.task}` }, frame.name) : frame.name)))) : null,
      picture.is_given ? null : section("Settings", list(parameters(picture))),
      section("File", list([
        ["made", picture.time ? element("time", { datetime: picture.time }, when(picture.time)) : ""],
        ["took", picture.seconds === null ? "" : took(picture.seconds)],
        ["path", file],
        ["size", picture.size ? bytes(picture.size) : ""],
        ["sha256", picture.sha256, "code"],
      ])),
      picture.earlier.length ? section("Earlier versions", offered.versions(picture)) : null,
    ].filter(Boolean));
    compare(picture, null, null);
    showPlace();
    if (!dialog.open) {
      dialog.showModal();
      dialog.focus(); // and not what is first in it, which would scroll the image away on a phone
    }
    if (isOther) $("facts").scrollTop = dialog.scrollTop = 0;
    document.title = `${picture.name} · ${title}`;
  };
  // an image whose file is not beside the gallery, for somebody who was given the folder only
  $("now-image").addEventListener("error", () => {
    const picture = pictures[current];
    if (picture && picture.thumb && !$("now-image").src.endsWith(picture.thumb)) $("now-image").src = picture.thumb;
  });

  const nameOf = (button) => button.getAttribute("aria-label") || button.textContent;
  // other pictures, or in another order, each with its card: what is open stays open
  const replace = (found) => {
    const open = pictures[current];
    const before = JSON.stringify(open);
    const known = new Map(pictures.map((picture, index) => [picture, texts[index]]));
    for (const list of [pictures, cards, links, texts]) list.length = 0;
    at.clear();
    for (const [picture, card] of found) {
      at.set(picture.task, pictures.push(picture) - 1);
      cards.push(card);
      links.push(card.firstElementChild);
      texts.push(known.get(picture) || textOf(picture));
    }
    current = open ? successor(open) : -1;
    jobs.splice(0, jobs.length, ...document.querySelectorAll(".job"));
    filter();
    if (current < 0) {
      if (open) dialog.close();
    } else if (JSON.stringify(pictures[current]) !== before) {
      history.replaceState(null, "", `#${pictures[current].task}`);
      const tops = [$("facts").scrollTop, dialog.scrollTop];
      const focus = $("detail-body").contains(document.activeElement) ? document.activeElement : null;
      show(current);
      if (focus && !focus.isConnected) ([...$("detail-body").querySelectorAll("a, button")].find((one) => nameOf(one) === nameOf(focus)) || dialog).focus({ preventScroll: true });
      [$("facts").scrollTop, dialog.scrollTop] = tops;
    } else {
      showPlace();
    }
  };
  // where a picture is now: a variant may have been picked, or no longer be
  const successor = ({ task, item, variant }) => {
    if (at.has(task)) return at.get(task);
    const same = pictures.findIndex((one) => item && one.item === item && one.variant === variant);
    return same >= 0 || !item ? same : pictures.findIndex((one) => one.item === item);
  };

  const showPlace = () => {
    const order = sequence();
    const place = order.indexOf(current);
    $("previous").disabled = place <= 0;
    $("next").disabled = place < 0 || place === order.length - 1;
  };
  const sequence = () => (shown.includes(current) ? shown : pictures.map((_, index) => index));
  const step = (by) => {
    const order = sequence();
    const next = order[order.indexOf(current) + by];
    if (next === undefined) return;
    history.replaceState(null, "", `#${pictures[next].task}`);
    show(next);
  };
  const follow = () => {
    let named = "";
    try {
      named = decodeURIComponent(location.hash.slice(1));
    } catch { /* no address of an image */ }
    if (at.has(named)) show(at.get(named));
    else if (dialog.open) dialog.close();
  };
  $("pictures").addEventListener("click", (event) => { pushed = pushed || Boolean(event.target.closest(".card a")); });
  window.addEventListener("hashchange", follow);
  dialog.addEventListener("close", () => {
    const place = shown.includes(current) ? current : shown.find((index) => index > current) ?? shown[shown.length - 1]; // or what took its place
    document.title = title;
    if (location.hash.length > 1) {
      if (pushed) history.back();
      else history.replaceState(null, "", location.href.split("#")[0]);
    }
    pushed = false;
    current = -1;
    if (place !== undefined) {
      links[place].focus({ preventScroll: true });
      cards[place].scrollIntoView({ block: "nearest" });
    }
  });
  $("close").addEventListener("click", () => dialog.close());
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("stage").addEventListener("click", (event) => { if (event.target === $("stage")) dialog.close(); });

  // ---- keys

  const neighbour = (from, key) => {
    const place = shown.indexOf(from);
    if (key === "ArrowLeft") return shown[place - 1];
    if (key === "ArrowRight") return shown[place + 1];
    if (key === "Home") return shown[0];
    if (key === "End") return shown[shown.length - 1];
    const down = key === "ArrowDown";
    const here = cards[from].getBoundingClientRect();
    const middle = here.left + here.width / 2;
    let best, top;
    for (let step = place + (down ? 1 : -1); shown[step] !== undefined; step += down ? 1 : -1) {
      const box = cards[shown[step]].getBoundingClientRect();
      if (Math.abs(box.top - here.top) < 4) continue; // the same row
      if (top !== undefined && Math.abs(box.top - top) > 4) break; // the row after the next
      top = box.top;
      const distance = Math.abs(box.left + box.width / 2 - middle);
      if (best === undefined || distance < best.distance) best = { distance, index: shown[step] };
    }
    return best && best.index;
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.target;
    if (dialog.open) {
      if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
        event.preventDefault();
        step(event.key === "ArrowLeft" ? -1 : 1);
      }
      return;
    }
    if (target === $("search")) {
      if (event.key === "Escape" && target.value) {
        event.preventDefault();
        target.value = "";
        filter();
      } else if (event.key === "Escape") {
        target.blur(); // the keys are for the page again
      } else if ((event.key === "ArrowDown" || event.key === "Enter") && shown.length) {
        event.preventDefault();
        filter();
        if (shown.length) links[shown[0]].focus();
      }
      return;
    }
    if (event.key === "/" && !target.closest("input, select, textarea")) {
      event.preventDefault();
      $("search").focus();
      $("search").select();
      return;
    }
    const card = target.closest(".card");
    const moves = ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End"];
    if (card && moves.includes(event.key)) {
      event.preventDefault();
      const next = neighbour(cards.indexOf(card), event.key);
      if (next !== undefined) links[next].focus();
    }
  });

  // ---- dark and light

  const prefersDark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme || (prefersDark.matches ? "dark" : "light")) === "dark";
  const tell = () => $("theme").setAttribute("aria-pressed", String(isDark()));
  const remembered = (theme) => {
    try { // a browser may keep nothing for a page that is a file
      if (theme) localStorage.setItem("imagegen-gallery-theme", theme);
      return localStorage.getItem("imagegen-gallery-theme");
    } catch { return null; }
  };
  const theme = remembered();
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  $("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    remembered(document.documentElement.dataset.theme);
    tell();
  });
  prefersDark.addEventListener("change", tell);
  tell();
  follow();
  return {
    $, live, element, arrange, section, list, words, copyButton, commandLine, commandText, when, took, difference,
    pictures, at, cards, links, matchers, filtered, additions, buttons, offered, remarks, about, absence,
    filter, show, step, replace, successor, symbols, dialog, refresh: follow,
    current: () => pictures[current],
    shown: () => shown,
  };
})();
