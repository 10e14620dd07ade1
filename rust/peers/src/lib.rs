//! The core beside other people's crates: measured against them in `benches`, used with them in
//! `tests`.
