
// ---- start: all parts are there
gallery.refresh();
review.reopen();
