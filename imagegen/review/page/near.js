
// ---- near: a list of any length, of which only what is near the screen is there
// list: the element that scrolls; its places are all as large. make(index): what is at a place. drop(index): that it is
// not there any more. changed: called after the list has filled or emptied places by itself.
const nearList = (list, { make, drop, changed }) => {
  const { element } = gallery;
  const MOST = 12; // so many are always there
  const indexOf = (place) => Number(place.dataset.index);
  const fill = (place) => { if (!place.firstChild) place.append(make(indexOf(place))); };
  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!target.isConnected) continue;
      if (isIntersecting) fill(target);
      else if (target.firstChild && !target.contains(document.activeElement)) {
        target.replaceChildren();
        drop(indexOf(target));
      }
    }
    changed();
  }, { root: list, rootMargin: "100% 0px" });

  // what was there is there at once
  const put = (count, chosen) => {
    const before = new Set([...list.children].filter((place) => place.firstChild).map(indexOf));
    watch.disconnect();
    const places = Array.from({ length: count }, (_, index) => element("li", { "data-index": String(index) }));
    places.forEach((place, index) => { if (index < MOST || index === chosen || before.has(index)) fill(place); });
    list.replaceChildren(...places);
    if (count > MOST) places.forEach((place) => watch.observe(place));
  };
  const stop = () => watch.disconnect();
  const show = (index) => {
    fill(list.children[index]);
    list.children[index].scrollIntoView({ block: "nearest" });
  };
  const isSeen = (place) => {
    const [box, around] = [place.getBoundingClientRect(), list.getBoundingClientRect()];
    const middle = (box.top + box.bottom) / 2;
    return middle >= around.top && middle <= around.bottom;
  };
  // the first one that is on the screen, or the given one if that is
  const seen = (index) => {
    if (list.children[index] && isSeen(list.children[index])) return index;
    const place = [...list.children].find((one) => one.firstChild && isSeen(one));
    return place ? indexOf(place) : index;
  };
  return { put, stop, show, seen };
};
