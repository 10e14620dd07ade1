//! Bytes of an HTML page in, chat widgets and their tokens out.

pub mod attributes;
pub mod challenge;
pub mod tokenizer;
