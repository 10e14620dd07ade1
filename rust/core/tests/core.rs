//! The tests of `tailrace-core`, in one program: to build and to link one for each file took longer
//! than to run them.

#![allow(clippy::unwrap_used, clippy::panic)]

#[cfg(feature = "adapters")]
mod adapters;
mod captures;
mod checks;
mod cuts;
mod deltas;
mod dialects;
mod encode;
mod expect;
mod field;
mod fragments;
mod frames;
mod json;
mod json_suite;
mod owned;
mod page;
mod page_tokenizer;
mod page_vectors;
mod regressions;
mod repeated_kinds;
mod repeats;
mod sign;
mod sse;
mod vectors;
