
// ---- actions: selecting, doing, undoing, and what is going on
(() => {
  review.keys.push({ key: "r", label: "Reroll", when: () => review.targets().length, run: () => review.run("reroll", review.targets()) });
})();
