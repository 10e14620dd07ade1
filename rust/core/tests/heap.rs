//! The tests that count bytes on the heap: a program of their own, as its allocator counts.

#![allow(clippy::unwrap_used)]

mod counting;
mod memory;
mod scale;
