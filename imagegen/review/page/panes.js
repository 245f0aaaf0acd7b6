
// ---- panes: pictures that are zoomed and panned, many at one place
const panes = (() => {
  const { element } = gallery;
  const LEVELS = [1 / 16, 1 / 8, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32]; // device pixels for one of the picture
  const between = (value, low, high) => Math.min(Math.max(value, low), high);
  const ratio = () => window.devicePixelRatio || 1;

  // where one looks: zoom is 1 where the whole picture fits; x and y, 0 to 1, are what is in the middle of the pane.
  // They are relative to each picture, so that those of another size show the same part.
  const newPlace = () => ({ zoom: 1, x: 0.5, y: 0.5 });

  // One pane. layers: the images that lie over each other in it, all at the same place.
  const makePane = (layers, place) => {
    const node = element("div", { class: "view" }, ...layers.map((layer) => element("div", { class: "layer" }, layer.image)));
    const pane = { node, layers, place, width: 1, height: 1, moved: () => {}, chosen: () => {}, failed: () => {} };
    // of one that is not enlarged: whether the wheel is for what it is in; what is done where it is dragged to; and by a finger, sideways
    Object.assign(pane, { isScrolled: () => false, draggedTo: null, swiped: () => {} });
    for (const layer of layers) {
      layer.image.draggable = false;
      const measure = () => {
        if (layer.image.naturalWidth) [layer.width, layer.height] = [layer.image.naturalWidth, layer.image.naturalHeight];
        draw(pane);
      };
      layer.image.addEventListener("load", measure);
      layer.image.addEventListener("error", () => pane.failed(layer));
      if (layer.image.complete) measure();
    }
    listen(pane);
    return pane;
  };
  const fit = (pane, layer) => Math.min(pane.width / layer.width, pane.height / layer.height);
  // A place is shared by pictures of all sizes, and what is 1:1 for a tiny one would be nothing for a large one:
  // each is as small as it fits or as its pixels are, and no smaller; and the like for as large.
  const zoomIn = (pane, zoom) => {
    const one = 1 / (fit(pane, pane.layers[0]) * ratio()); // the zoom at which one pixel is one of the screen
    return between(zoom, Math.min(1, one), Math.max(1, 32 * one));
  };
  const zoomOf = (pane) => zoomIn(pane, pane.place.zoom);
  const sizeOf = (pane, layer) => fit(pane, layer) * zoomOf(pane);
  // device pixels for one of the picture
  const scale = (pane) => sizeOf(pane, pane.layers[0]) * ratio();

  // the middle, if it was kept within the picture: half is the part of the picture from there to the pane's side
  const middle = (at, half) => (half >= 0.5 ? 0.5 : between(at, half, 1 - half));
  const draw = (pane) => {
    const { width, height, place } = pane;
    const round = (value) => Math.round(value * ratio()) / ratio();
    for (const layer of pane.layers) {
      const size = sizeOf(pane, layer);
      // whole pixels of the screen: an edge between two of them would be blurred, and a difference to itself
      const [wide, high] = [round(layer.width * size), round(layer.height * size)];
      const left = round(width / 2 - middle(place.x, width / 2 / wide) * wide);
      const top = round(height / 2 - middle(place.y, height / 2 / high) * high);
      const { style } = layer.image;
      if (layer.size !== size) {
        style.width = `${layer.width}px`;
        style.height = `${layer.height}px`;
        style.setProperty("--tile", `${1 / size}rem`); // as large whatever the zoom
        style.imageRendering = size * ratio() >= 2 ? "pixelated" : "";
        layer.size = size;
      }
      style.transform = `translate(${left}px, ${top}px) scale(${wide / layer.width}, ${high / layer.height})`;
    }
  };

  // all that changes within a frame is drawn once
  const waiting = new Set();
  const drawSoon = (some) => {
    if (!waiting.size) {
      requestAnimationFrame(() => {
        const all = [...waiting];
        waiting.clear();
        all.forEach(draw);
      });
    }
    some.forEach((pane) => waiting.add(pane));
  };

  const keep = (pane) => {
    const { place, layers: [layer] } = pane;
    const size = sizeOf(pane, layer);
    for (const [axis, side, whole] of [["x", pane.width, layer.width], ["y", pane.height, layer.height]]) {
      const half = side / 2 / (whole * size);
      place[axis] = half >= 0.5 ? between(place[axis], 0, 1) : between(place[axis], half, 1 - half);
    }
  };
  const panBy = (pane, dx, dy) => {
    const { place, layers: [layer] } = pane;
    const size = sizeOf(pane, layer);
    place.x -= dx / (layer.width * size);
    place.y -= dy / (layer.height * size);
    keep(pane);
    pane.moved();
  };
  // at: a point of the pane that stays where it is, in pixels from its top left
  const zoomTo = (pane, zoom, at = { x: pane.width / 2, y: pane.height / 2 }) => {
    const { place, layers: [layer] } = pane;
    const fitting = fit(pane, layer);
    const [before, target] = [zoomOf(pane), zoomIn(pane, zoom)];
    for (const [axis, side, whole] of [["x", pane.width, layer.width], ["y", pane.height, layer.height]]) {
      const from = (at[axis] - side / 2) / (whole * fitting);
      const seen = middle(place[axis], side / 2 / (whole * fitting * before));
      place[axis] = seen + from / before - from / target;
    }
    place.zoom = target;
    keep(pane);
    pane.moved();
  };
  const actualSize = (pane, at) => zoomTo(pane, zoomOf(pane) / scale(pane), at);
  const isActual = (pane) => Math.abs(scale(pane) - 1) < 0.001;
  const step = (pane, by) => {
    const now = scale(pane);
    const next = by > 0 ? LEVELS.find((level) => level > now * 1.01) : LEVELS.findLast((level) => level < now * 0.99);
    if (next) zoomTo(pane, (zoomOf(pane) * next) / now);
  };

  // ---- the wheel, the mouse, fingers

  const listen = (pane) => {
    const { node } = pane;
    const pointers = new Map();
    let hasMoved = false;
    let start = null; // of what may become a swipe
    const point = (event) => {
      const box = node.getBoundingClientRect();
      return { x: event.clientX - box.left, y: event.clientY - box.top };
    };
    const isWhole = () => zoomOf(pane) <= 1.001;
    node.addEventListener("wheel", (event) => {
      if (isWhole() && !event.ctrlKey && pane.isScrolled()) return;
      event.preventDefault();
      const speed = event.deltaMode === 1 ? 0.05 : event.ctrlKey ? 0.01 : 0.002; // ctrlKey: two fingers on a touchpad
      zoomTo(pane, zoomOf(pane) * Math.exp(-event.deltaY * speed), point(event));
    }, { passive: false });
    node.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      node.setPointerCapture(event.pointerId);
      if (!pointers.size) [hasMoved, start] = [false, event.pointerType === "touch" && isWhole() ? point(event) : null];
      else start = null;
      pointers.set(event.pointerId, point(event));
    });
    node.addEventListener("pointermove", (event) => {
      const before = pointers.get(event.pointerId);
      if (!before) return;
      const now = point(event);
      if (!hasMoved && Math.hypot(now.x - before.x, now.y - before.y) < 4) return; // a click with an unsteady hand
      hasMoved = true;
      node.classList.add("moving");
      pointers.set(event.pointerId, now);
      if (pane.draggedTo && isWhole() && pointers.size === 1) {
        pane.draggedTo(between(now.x / pane.width, 0, 1));
        return;
      }
      const other = [...pointers].find(([id]) => id !== event.pointerId);
      if (other) {
        const apart = (from) => Math.hypot(from.x - other[1].x, from.y - other[1].y);
        const centre = (from) => ({ x: (from.x + other[1].x) / 2, y: (from.y + other[1].y) / 2 });
        zoomTo(pane, (zoomOf(pane) * apart(now)) / Math.max(apart(before), 1), centre(before));
      }
      const share = other ? 0.5 : 1; // of two fingers, each moves the middle between them by half
      panBy(pane, (now.x - before.x) * share, (now.y - before.y) * share);
    });
    const lift = (event) => {
      pointers.delete(event.pointerId);
      if (pointers.size) return;
      node.classList.remove("moving");
      if (event.type !== "pointerup") return;
      if (!hasMoved) pane.chosen();
      else if (start && !pane.draggedTo) {
        const [dx, dy] = [point(event).x - start.x, point(event).y - start.y];
        if (Math.abs(dx) > 48 && Math.abs(dx) > 2 * Math.abs(dy)) pane.swiped(dx < 0 ? 1 : -1);
      }
    };
    node.addEventListener("pointerup", lift);
    node.addEventListener("pointercancel", lift);
    node.addEventListener("dblclick", (event) => {
      if (isActual(pane)) zoomTo(pane, 1);
      else actualSize(pane, point(event));
    });
  };

  return { newPlace, makePane, drawSoon, panBy, zoomTo, zoomOf, actualSize, isActual, scale, step };
})();
