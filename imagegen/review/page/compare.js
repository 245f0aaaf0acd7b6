
// ---- compare: what can be put on the light table, and how it gets there
(() => {
  const { element, pictures, at } = gallery;
  const { plural } = review;
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
      part: () => `${items[index].split(":")[0]} · ${plural(table.shown().length, "variant")}${items.length > 1 ? ` · ${index + 1} of ${items.length}, ${open() ? `${open()} not picked yet` : "all picked"}` : ""}`,
      has: (by) => Boolean(items[index + by]),
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
  // The versions of an image. only: the sha256 of one of them, to compare with now
  const versionsOf = (task, only) => {
    let [versions, seen] = [null, ""];
    const removed = new Set();
    const order = []; // sha256: a pane stays where it is, whichever of them is restored
    const load = async () => {
      try {
        versions = await looks.versions(task);
      } catch (error) {
        review.say(error.message);
      }
      if (table.source() && table.source().state[1] === task) table.refresh();
    };
    const find = () => {
      const picture = at.has(task) && pictures[at.get(task)];
      if (!picture) return [];
      const is = `${picture.sha256} ${picture.time}`;
      if (seen !== is) {
        seen = is;
        load();
      }
      const earlier = (versions || []).filter((one) => one.sha256 !== picture.sha256) // which of them is now, they may not know yet
        .filter((one) => !only || one.sha256 === only || order.includes(one.sha256));
      if (!order.includes(picture.sha256)) order.unshift(picture.sha256);
      order.push(...earlier.map((one) => one.sha256).filter((sha256) => !order.includes(sha256)));
      return [{ ...looks.ofPicture(picture), title: "Now" }, ...earlier.map((one) => looks.ofVersion(picture, one))]
        .sort((a, b) => order.indexOf(a.sha256) - order.indexOf(b.sha256)).filter((look) => !removed.has(look.key));
    };
    return { find, removes: (look) => removed.add(look.key), isLoaded: () => Boolean(versions) };
  };
  // tasks: more of them, one after the other
  const compareVersions = (task, only = "", tasks = [task]) => {
    const all = tasks.map((one) => versionsOf(one, only));
    let index = tasks.indexOf(task);
    table.open({
      state: ["versions", task],
      looks: () => all[index].find(),
      name: () => pictures[at.get(tasks[index])].name,
      part: () => [all[index].isLoaded() ? plural(table.shown().length - 1, "earlier version") : "Loading its earlier versions…",
        tasks.length > 1 ? `${index + 1} of ${tasks.length}` : ""].filter(Boolean).join(" · "),
      removes: (look) => all[index].removes(look),
      has: (by) => Boolean(tasks[index + by]),
      step: tasks.length > 1 ? (by) => {
        if (!tasks[index + by]) return false;
        index += by;
        table.source().state = ["versions", tasks[index]];
        return true;
      } : null,
    });
  };

  // of one image: whatever there is to compare it with, what it was just rerolled to first
  review.compare = (tasks) => {
    const [only] = tasks.length === 1 ? tasks.map((task) => pictures[at.get(task)]) : [];
    if (only && review.rerolled().includes(only.task)) compareVersions(only.task);
    else if (only && looks.variants(only.task).length > 1) compareVariants(only.task);
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
    if (table.source()) sessionStorage.setItem(STORED, JSON.stringify({ state: table.source().state, place: table.place(), hash: location.hash }));
  });
  const stored = sessionStorage.getItem(STORED);
  sessionStorage.removeItem(STORED);
  review.reopen = () => {
    if (!stored) return;
    const { state: [kind, what], place: before, hash } = JSON.parse(stored);
    if (hash !== location.hash) return; // it was over something else
    if (kind === "images") compareImages(what.filter((task) => at.has(task)));
    else if (kind === "variants") compareVariants(what);
    else if (at.has(what)) compareVersions(what);
    Object.assign(table.place(), before);
    table.layout();
  };
})();
