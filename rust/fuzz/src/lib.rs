//! The comparisons of `tailrace-core`'s own tests, for fuzz targets of one line each.

#[path = "../../core/tests/checks/mod.rs"]
pub mod checks;
