//! The whole border between Python and `tailrace-core`: names and conversions only.
