
// ---- compare: images side by side
