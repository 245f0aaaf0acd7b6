
// ---- looks: what is put beside each other: images, variants, earlier versions, each with what is known of it
const looks = (() => {
  const { element, pictures, at, difference } = gallery;

  // key: what it is, whatever it shows now. task: whose commands it takes; variant: what it can be picked as
  const ofPicture = (picture) => ({
    ...picture, key: picture.task, title: [picture.name, picture.part].filter(Boolean).join(" "), isImage: true,
    isPicked: Boolean(picture.variant) && picture.task === picture.item,
  });
  const ofCandidate = (picture, candidate) => ({
    ...candidate, key: `${picture.item}-v${candidate.number}`, task: "", item: picture.item, variant: candidate.number, name: picture.name,
    title: `${picture.name} v${candidate.number}`, width: picture.width, height: picture.height, earlier: [], wanted: [],
  });
  const ofVersion = (picture, version) => ({
    ...version, key: `${picture.task}@${version.sha256}`, task: "", restores: picture.task, name: picture.name,
    title: `Version ${version.number}`, width: picture.width, height: picture.height, earlier: [], wanted: [],
  });

  // all variants of an item, by number: images as long as none is picked, else the picked image and the candidates
  const variants = (task) => {
    const item = at.has(task) ? pictures[at.get(task)].item : task;
    if (!item) return [];
    const own = pictures.filter((picture) => picture.item === item);
    return [...own.map(ofPicture), ...own.flatMap((picture) => picture.candidates.map((one) => ofCandidate(picture, one)))]
      .sort((a, b) => a.variant - b.variant);
  };
  // the items that have something to choose from, in the order of the page
  const items = () => {
    const counts = new Map();
    for (const index of gallery.shown()) {
      const { item, candidates } = pictures[index];
      if (item) counts.set(item, (counts.get(item) || 0) + 1 + candidates.length);
    }
    return [...counts].filter(([, count]) => count > 1).map(([item]) => item);
  };
  const isPicked = (item) => at.has(item) && pictures[at.get(item)].variant > 0;
  const versions = async (task) => {
    const answer = await fetch(`versions?${new URLSearchParams({ image: task })}`);
    if (!answer.ok) throw new Error(`The server has no versions of ${task} (${answer.status})`);
    return answer.json();
  };

  // ---- in what two of them differ

  const settings = (look) => new Map([...look.parameters.filter(([name]) => name !== "width" && name !== "height"),
    ["model", look.model], ["backend", look.backend]]);
  const changedSettings = (from, to) => {
    const [old, fresh] = [settings(from), settings(to)];
    return [...new Set([...old.keys(), ...fresh.keys()])].map((name) => [name, old.get(name) || "none", fresh.get(name) || "none"])
      .filter(([, before, after]) => before !== after);
  };
  // words that stay are cut to those beside a change
  const briefly = (parts) => parts.map((part, index) => {
    if (typeof part !== "string") return part;
    const words = part.trim().split(/\s+/);
    if (words.length < 6) return part;
    const begin = index > 0 ? `${words.slice(0, 2).join(" ")} ` : "";
    const end = index < parts.length - 1 ? ` ${words.slice(-2).join(" ")} ` : "";
    return ` ${begin}…${end}`;
  });
  const MOST_CHANGED = 0.7; // of a text: beyond that, a word that is the same is so by chance
  const changed = (from, to) => {
    const parts = difference(from, to);
    const same = parts.filter((part) => typeof part === "string").join("").length;
    return 1 - same / Math.max(from.length, to.length, 1) > MOST_CHANGED ? [to || "none"] : briefly(parts);
  };
  // nodes that say it, none if they are alike: struck out is what only the first has, and marked as new what only the second has
  const differences = (from, to) => {
    const lines = [];
    if (from.prompt !== to.prompt) lines.push(element("span", { dir: "auto" }, ...changed(from.prompt, to.prompt)));
    if (from.negative !== to.negative) lines.push(element("span", { dir: "auto" }, "negative: ", ...changed(from.negative, to.negative)));
    for (const [name, before, after] of changedSettings(from, to)) {
      lines.push(element("span", {}, `${name} `, element("del", {}, before), " ", element("ins", {}, after)));
    }
    return lines;
  };

  review.variants = variants;
  // by its file's sha256: its number is another one as soon as there is a newer version
  review.restore = (task, version) => review.perform({
    purpose: "Go back to this version", command: "restore", images: [task], options: { to: version.sha256.slice(0, 12) },
  });
  return { ofPicture, ofVersion, variants, items, isPicked, versions, differences };
})();
