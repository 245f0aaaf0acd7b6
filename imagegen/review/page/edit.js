
// ---- edit: a job's prompts and settings
