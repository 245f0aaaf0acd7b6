
// ---- marks: keep, reject, later, and notes
