
// ---- compare: what can be put on the light table, and how it gets there
(() => {
  const { element, pictures, at } = gallery;
  const plural = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
  const compareImages = (tasks) => {
    let entries = tasks.filter((task) => at.has(task)).map((task) => ({ task, item: pictures[at.get(task)].item, variant: pictures[at.get(task)].variant }));
    const find = ({ task, item, variant }) => (at.has(task) ? looks.ofPicture(pictures[at.get(task)])
      : item && looks.variants(item).find((one) => one.variant === variant)); // it was picked, or another one was
    table.open({
      state: ["images", tasks],
      looks: () => entries.map(find).filter(Boolean),
      name: () => (table.shown().length === 1 ? table.shown()[0].title : plural(table.shown().length, "image")),
      part: () => [...new Set(table.shown().map((look) => look.job).filter(Boolean))].join(", "),
      removes: (look) => { entries = entries.filter((entry) => find(entry).key !== look.key); },
    });
  };
  const compareVariants = (task, some = null) => {
    const items = some || looks.items();
    const item = at.has(task) ? pictures[at.get(task)].item : task;
    if (item && !items.includes(item)) items.splice(0, items.length, item);
    let index = Math.max(0, items.indexOf(item));
    const warm = () => { // so that the next one is there at once
      for (const look of looks.variants(items[index + 1] || "")) if (look.href) new Image().src = look.href;
    };
    if (!items.length) return;
    const open = () => items.filter((one) => !looks.isPicked(one)).length;
    table.open({
      state: ["variants", items[index]],
      picks: true,
      looks: () => looks.variants(items[index]).map((look) => ({ ...look, title: `Variant ${look.variant}` })),
      name: () => (table.shown()[0] ? table.shown()[0].name : ""),
      part: () => `${items[index].split(":")[0]} · ${plural(table.shown().length, "variant")}${items.length > 1 ? ` · ${index + 1} of ${items.length}, ${open() || "none"} not picked yet` : ""}`,
      step: items.length > 1 ? (by) => {
        if (!items[index + by]) return false;
        index += by;
        table.source().state = ["variants", items[index]];
        warm();
        return true;
      } : null,
    });
    warm();
  };
  // only: the sha256 of a version, to compare with now
  const compareVersions = async (task, only = "") => {
    let versions = null;
    const removed = new Set();
    let seen = "";
    const load = async () => {
      const picture = pictures[at.get(task)];
      seen = `${picture.sha256} ${picture.time}`;
      try {
        versions = await looks.versions(task);
      } catch (error) {
        review.say(error.message);
      }
      if (table.source() && table.source().state[1] === task) table.refresh();
    };
    table.open({
      state: ["versions", task],
      looks: () => {
        const picture = at.has(task) && pictures[at.get(task)];
        if (!picture) return [];
        if (seen && seen !== `${picture.sha256} ${picture.time}`) load();
        const earlier = (versions || []).filter((one) => !one.is_now && one.sha256 !== picture.sha256 && (!only || one.sha256 === only))
          .map((one) => looks.ofVersion(picture, one));
        return [{ ...looks.ofPicture(picture), title: "Now" }, ...earlier].filter((look) => !removed.has(look.key));
      },
      name: () => pictures[at.get(task)].name,
      part: () => (versions ? `${plural(table.shown().length - 1, "earlier version")}` : "Loading its earlier versions…"),
      removes: (look) => { removed.add(look.key); },
    });
    await load();
  };

  // of one image: whatever there is to compare it with
  review.compare = (tasks) => {
    const [only] = tasks.length === 1 ? tasks.map((task) => pictures[at.get(task)]) : [];
    if (only && looks.variants(only.task).length > 1) compareVariants(only.task);
    else if (only && only.earlier.length) compareVersions(only.task);
    else if (tasks.length) compareImages(tasks);
  };
  Object.assign(review, { compareImages, compareVariants, compareVersions, table });

  // ---- opening it

  review.bulk.push({ label: "Compare", key: "c", when: (tasks) => tasks.length > 0, run: (tasks) => review.compare(tasks) });
  review.keys.push({ key: "c", label: "Compare", place: "For the open image, the selected ones, or the one with the focus", when: () => !table.isOpen() && review.targets().length > 0, run: () => review.compare(review.targets()) });
  review.keys.push({ key: "v", label: "Choose among the variants of each item", place: "Variants", when: () => !table.isOpen() && looks.items().length > 0, run: () => compareVariants(review.targets()[0] || "") });
  const button = review.button("Choose variants", () => compareVariants(""), { id: "choose-variants", "aria-keyshortcuts": "v" });
  const showButton = () => { button.hidden = !looks.items().length; };
  document.querySelector(".filters").append(button);
  gallery.filtered.push(showButton);
  showButton();

  // a page that is loaded again shows the same table
  const STORED = "imagegen-review-table";
  window.addEventListener("pagehide", () => {
    if (table.source()) sessionStorage.setItem(STORED, JSON.stringify({ state: table.source().state, place: table.place() }));
  });
  const stored = sessionStorage.getItem(STORED);
  sessionStorage.removeItem(STORED);
  review.reopen = () => {
    if (!stored) return;
    const { state: [kind, what], place: before } = JSON.parse(stored);
    if (kind === "images") compareImages(what.filter((task) => at.has(task)));
    else if (kind === "variants") compareVariants(what);
    else if (at.has(what)) compareVersions(what);
    Object.assign(table.place(), before);
    table.layout();
  };
})();
