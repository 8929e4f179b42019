//! What is inside images, read from bytes that someone else holds.

pub mod disc;
