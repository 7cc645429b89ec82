//! Reads whether a bucket keeps what the function needs to tell whether an object changed.
