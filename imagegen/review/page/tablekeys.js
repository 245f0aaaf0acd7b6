
// ---- tablekeys: the keys of the light table
(() => {
  const { acts, dialog, slider } = table;
  const own = [
    { key: "1", shows: "1–9", label: "Pick that variant, or choose that pane", run: () => acts.number(1) },
    ...[2, 3, 4, 5, 6, 7, 8, 9].map((which) => ({ key: String(which), isHidden: true, run: () => acts.number(which) })),
    { key: "Enter", label: "Pick the chosen variant, restore the chosen version", run: () => acts.decide() },
    { key: "j", repeats: true, label: "Next item, or next pane", run: () => acts.go(1) },
    { key: "k", repeats: true, label: "Previous item, or previous pane", run: () => acts.go(-1) },
    { key: "]", repeats: true, label: "Next pane", run: () => acts.nextPane(1) },
    { key: "[", repeats: true, label: "Previous pane", run: () => acts.nextPane(-1) },
    { key: "ArrowRight", repeats: true, shows: "← → ↑ ↓", label: "Move the pictures; or next, previous", run: () => acts.arrow(1, 0) },
    { key: "ArrowLeft", repeats: true, isHidden: true, run: () => acts.arrow(-1, 0) },
    { key: "ArrowDown", repeats: true, isHidden: true, run: () => acts.arrow(0, 1) },
    { key: "ArrowUp", repeats: true, isHidden: true, run: () => acts.arrow(0, -1) },
    { key: "+", repeats: true, label: "Larger", run: () => acts.zoom(1) },
    { key: "=", repeats: true, isHidden: true, run: () => acts.zoom(1) },
    { key: "-", repeats: true, label: "Smaller", run: () => acts.zoom(-1) },
    { key: "f", label: "Fit", run: () => acts.fit() },
    { key: "z", label: "One pixel for one (1:1)", run: () => acts.actual() },
    { key: "i", label: "Move each picture by itself, or all together", run: () => acts.link() },
    { key: " ", shows: "Space", label: "Flicker between two", run: () => acts.flicker() },
    { key: "p", label: "Flicker by itself", run: () => acts.play() },
    { key: "d", label: "Difference of two", run: () => acts.turn("difference") },
    { key: "w", label: "Swipe between two", run: () => acts.turn("swipe") },
    { key: "Backspace", isHidden: true, run: () => acts.take() },
    { key: "Delete", label: "Take the pane off the table", run: () => acts.take() },
  ];
  // wherever the focus is: what had it may have gone
  document.addEventListener("keydown", (event) => {
    if (!table.isOpen() || document.querySelector(".question[open]") || !(dialog.contains(event.target) || event.target === document.body)) return undefined;
    if (event.key === "a" && (event.ctrlKey || event.metaKey)) event.preventDefault(); // it would mark all words of the page
    if (event.ctrlKey || event.metaKey || event.altKey) return undefined;
    const target = event.target;
    if (target === slider && event.key.startsWith("Arrow")) return event.stopPropagation();
    if ([" ", "Enter"].includes(event.key) && target.closest("button")) return undefined;
    const key = own.find((one) => one.key === event.key);
    if (!key) {
      // what is done to an image is done to that of the active pane; all else is for the page below
      if (!["?", "u", "0", ...review.bulk.map((one) => one.key)].includes(event.key)) event.stopPropagation();
      return undefined;
    }
    event.preventDefault();
    event.stopPropagation(); // it is not for the page below
    if (event.repeat && !key.repeats) return undefined; // a key that is held decides once
    return key.run();
  }, true);
  review.keys.push(...own.map((one) => ({ ...one, place: "Light table", when: () => dialog.open })));
})();
