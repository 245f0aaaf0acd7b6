
// ---- list: images as they are now. Other ones and another order take their places without the page being loaded again
(() => {
  const { element, pictures, cards, at, $ } = gallery;
  const main = $("pictures");
  const { live } = review;
  const head = element("p", { class: "note", id: "no-jobs" },
    "There is no job yet. A job is a file in the folder jobs that says which images there are. ",
    element("code", {}, "imagegen init"), " writes one to begin with.");
  main.prepend(head);

  // ---- one card: as page.html has it

  const ratio = (picture) => String(Math.min(Math.max(picture.width / picture.height, 0.4), 3.2));
  const fill = (card, picture) => {
    const isChosen = card.classList.contains("selected");
    card.className = `card ${picture.state}${isChosen ? " selected" : ""}`;
    card.style.setProperty("--ratio", ratio(picture));
    const [link] = card.children;
    const [frame, name] = link.children;
    const old = frame.querySelector("img");
    const image = !picture.thumb ? element("span", { class: "empty" })
      : old && old.getAttribute("src") === picture.thumb ? old // it would be loaded again
        : element("img", { src: picture.thumb, alt: picture.alt, loading: "lazy", decoding: "async" });
    if (picture.thumb) image.setAttribute("alt", picture.alt);
    const badge = picture.badge.text ? element("span", { class: `badge ${picture.badge.state}` }, picture.badge.text) : null;
    frame.replaceChildren(...[image, badge, picture.said ? gallery.symbols(picture) : null].filter(Boolean));
    name.replaceChildren(element("b", { dir: "auto" }, picture.name), ...(picture.part ? [" ", element("span", { class: "quiet" }, picture.part)] : []));
    link.setAttribute("href", `#${picture.task}`);
    // what one sees stands in it as it is seen
    link.setAttribute("aria-label", (badge ? `${picture.badge.text} ` : "") + picture.alt + (picture.said ? `, ${picture.said}` : ""));
    return card;
  };
  const cardOf = (picture) => fill(element("li", {}, element("a", {},
    element("span", { class: "frame" }), element("span", { class: "name" }))), picture);

  // ---- one job: likewise

  const sections = new Map(live.files.map((file, index) => [file, document.querySelectorAll("main > .job")[index]]));
  const problemsOf = (group) => {
    const many = group.problems.length;
    return many ? element("details", { class: "problems", open: "" },
      element("summary", {}, `${group.file} cannot be built: ${many} problem${many === 1 ? "" : "s"}`),
      element("ul", {}, ...group.problems.map((problem) => element("li", {}, problem)))) : null;
  };
  const sectionOf = (group) => {
    const section = sections.get(group.file) || element("section", { class: "job" }, element("div", { class: "head" }), element("ul", { class: "grid" }));
    sections.set(group.file, section);
    section.dataset.job = group.name;
    section.setAttribute("aria-labelledby", `job-${group.name}`);
    const notices = group.notices.map((notice) => element("p", { class: "problems" }, notice));
    section.firstElementChild.replaceChildren(element("h2", { id: `job-${group.name}` }, group.name), element("p", { class: "quiet", dir: "auto" }, group.doc));
    const above = [problemsOf(group), ...notices].filter(Boolean);
    const old = [...section.querySelectorAll(":scope > .problems")];
    if (old.map((one) => one.textContent.replace(/\s+/g, " ")).join() !== above.map((one) => one.textContent.replace(/\s+/g, " ")).join()) {
      old.forEach((one) => one.remove());
      section.firstElementChild.after(...above);
    }
    return section;
  };

  // ---- the filters' choices

  const chooseFrom = (facet, values) => {
    const select = document.querySelector(`[data-facet="${facet}"]`);
    const [all, ...others] = select.options;
    select.closest(".facet").hidden = values.length < 2;
    if (others.map((one) => one.value).join("\n") === values.join("\n")) return;
    const chosen = select.value;
    select.replaceChildren(all, ...values.map((value) => element("option", {}, value)));
    select.value = values.includes(chosen) ? chosen : "";
  };
  const showChoices = (groups) => {
    chooseFrom("job", groups.map((group) => group.name).sort());
    for (const facet of ["backend", "model"]) chooseFrom(facet, [...new Set(pictures.map((picture) => picture[facet]).filter(Boolean))].sort());
  };

  // ---- what the server says

  let groups = null; // of the last event that had any
  const arrange = (changed) => {
    const focus = document.activeElement && document.activeElement.closest(".card a") ? document.activeElement : null;
    const known = new Map(pictures.map((picture, index) => [picture.task, [picture, cards[index]]]));
    const found = groups.map((group) => group.pictures.map((task) => {
      const [picture, card] = known.get(task) || [];
      const now = changed.get(task) || picture;
      return [now, !card ? cardOf(now) : now === picture ? card : fill(card, now)];
    }));
    const kept = new Set(groups.map((group) => group.file));
    for (const file of [...sections.keys()]) if (!kept.has(file)) sections.delete(file);
    gallery.arrange(main, groups.map((group, index) => {
      const section = sectionOf(group);
      gallery.arrange(section.querySelector(".grid"), found[index].map(([, card]) => card));
      return section;
    }), ".job");
    showChoices(groups);
    const focused = focus && pictures[cards.indexOf(focus.closest(".card"))];
    const following = focused ? pictures.slice(pictures.indexOf(focused)).map((picture) => picture.task) : [];
    gallery.replace(found.flat());
    review.prepareCards();
    if (!focused || document.activeElement === focus) return;
    // of another card, if a variant was picked; or of the one after it, if it has gone
    const after = () => following.map((task) => at.get(task)).find((index) => gallery.shown().includes(index));
    const next = gallery.links[gallery.successor(focused)] || gallery.links[after() ?? gallery.shown().at(-1)];
    if (next) next.focus({ preventScroll: true });
  };
  const update = (changed) => {
    for (const [task, picture] of changed) fill(cards[at.get(task)], picture);
    gallery.replace(pictures.map((picture, index) => [changed.get(picture.task) || picture, cards[index]]));
  };
  const apply = (event) => {
    const isOther = (picture) => !at.has(picture.task) || JSON.stringify(pictures[at.get(picture.task)]) !== JSON.stringify(picture);
    const changed = new Map(event.pictures.filter(isOther).map((picture) => [picture.task, picture]));
    live.version = event.version;
    groups = event.groups || groups;
    if (event.groups) arrange(changed);
    else update(changed);
    head.hidden = event.groups ? event.groups.length > 0 : head.hidden;
    const gone = [...review.selected].filter((task) => !at.has(task));
    if (gone.length) review.select(gone, false);
    else review.emit({ event: "selection" });
    review.emit({ event: "shown", tasks: [...changed.keys()] });
  };

  // all of it, if something was missed
  let [asking, newest] = [false, live.version];
  review.resync = async (version) => {
    newest = version;
    if (asking) return;
    asking = true;
    try {
      for (let tries = 0; live.version !== newest && tries < 5; tries++) {
        const answer = await fetch("data");
        if (!answer.ok) break;
        const all = await answer.json();
        newest = Math.max(newest, all.version);
        apply(all);
      }
    } catch { /* it is asked for again with the next event, or once the connection is back */ }
    asking = false;
  };
  review.on("pictures", (event) => {
    if (event.version === live.version + 1 && !asking) apply(event);
    else if (event.version > live.version) review.resync(event.version);
  });

  head.hidden = live.files.length > 0;
  for (const facet of ["job", "backend", "model"]) {
    const select = document.querySelector(`[data-facet="${facet}"]`);
    select.closest(".facet").hidden = select.options.length < 3;
  }
  gallery.update = (picture) => update(new Map([[picture.task, picture]]));
  review.cardOf = cardOf;
})();
