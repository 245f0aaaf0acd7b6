
// ---- versions: in the view of one image, its variants below it, and its earlier versions with what was different
(() => {
  const { $, element, dialog, when } = gallery;

  // ---- the variants

  const strip = element("ul", { id: "strip", "aria-label": "Variants", hidden: "" });
  $("stage").append(strip);
  const variant = (look, task) => {
    const isHere = look.task === task;
    const picture = look.thumb ? element("img", { src: look.thumb, alt: "", decoding: "async" }) : element("span", { class: "quiet" }, "none");
    const said = [`Variant ${look.variant}`, look.isPicked ? "picked" : "", isHere ? "shown" : ""].filter(Boolean).join(", ");
    const inside = [element("span", { class: "thumb" }, picture), element("kbd", { "aria-hidden": "true" }, String(look.variant)),
      look.isPicked ? element("span", { class: "picked", "aria-hidden": "true" }, "Picked") : null];
    if (look.isImage) {
      return element("li", {}, element("a", { href: `#${look.task}`, "aria-label": said, ...(isHere ? { "aria-current": "true" } : {}) }, ...inside));
    }
    const button = element("button", { type: "button", "aria-label": `${said}: compare it` }, ...inside);
    button.addEventListener("click", () => review.compareVariants(look.item, [look.item]));
    return element("li", {}, button);
  };
  const showStrip = (picture) => {
    const found = looks.variants(picture.task);
    strip.hidden = found.length < 2;
    const all = element("button", { type: "button", class: "plain", "aria-keyshortcuts": "c" }, "Compare");
    all.addEventListener("click", () => review.compareVariants(picture.task));
    strip.replaceChildren(...(strip.hidden ? [] : [...found.map((look) => variant(look, picture.task)), element("li", {}, all)]));
    return [];
  };

  // ---- the earlier versions

  const row = (picture, version) => {
    const compare = element("button", { type: "button", class: "version", "aria-label": `Compare version ${version.number} with now` },
      element("img", { src: version.thumb, alt: "", loading: "lazy", decoding: "async" }),
      element("span", {},
        element("span", {}, element("b", {}, String(version.number)), ` ${version.time ? when(version.time) : ""}`, element("span", { class: "quiet" }, version.by_hand ? " by hand" : "")),
        element("span", { class: "differs" }, ...differences(picture, version))));
    compare.addEventListener("click", () => review.compareVersions(picture.task, version.sha256));
    const restore = element("button", { type: "button", class: "plain", "aria-label": `Restore version ${version.number}` }, "Restore");
    restore.addEventListener("click", () => review.restore(picture.task, version));
    return element("li", {}, compare, restore);
  };
  const differences = (picture, version) => {
    const seed = version.seed === picture.seed ? [] : [element("span", {}, `seed ${version.seed || "none"}`)];
    const found = [...seed, ...looks.differences(picture, version)];
    return found.length ? found : [element("span", { class: "quiet" }, "made with the same words and settings")];
  };
  const fill = async (picture, body) => {
    try {
      const found = (await looks.versions(picture.task)).filter((one) => !one.is_now && one.sha256 !== picture.sha256);
      const all = element("button", { type: "button", class: "plain" }, "Compare all");
      all.addEventListener("click", () => review.compareVersions(picture.task));
      body.replaceChildren(...found.map((version) => row(picture, version)), ...(found.length > 1 ? [element("li", {}, all)] : []));
    } catch {
      body.replaceWith(usual(picture)); // of a broken job, what it had generated can be looked at and no more
    }
  };
  const usual = gallery.offered.versions;
  gallery.offered.versions = (picture) => {
    const body = element("ul", { class: "history" }, element("li", { class: "quiet" }, "Loading…"));
    // who steps from one image to the next wants none of those between
    setTimeout(() => { if (body.isConnected && dialog.open) fill(picture, body); }, 120);
    return body;
  };
  gallery.additions.push(showStrip);

  // ---- closer

  const closer = () => review.compareImages([gallery.current().task]);
  $("now-image").addEventListener("click", closer);
  review.keys.push({ key: "z", label: "Look at it closer", place: "For the open image", when: () => dialog.open && !table.isOpen() && Boolean(gallery.current().thumb), run: closer });
})();
