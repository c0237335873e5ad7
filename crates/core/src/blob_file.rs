//! How a blob becomes a file.
