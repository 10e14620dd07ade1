//! Reads `tests/vectors/`, whose README tells the format.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The folder of all vectors.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/vectors")
}

/// The cases of every file of a folder, named `file/case`.
pub fn cases(kind: &str) -> Vec<(String, Value)> {
    let entries = fs::read_dir(folder().join(kind)).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    paths.sort();
    let mut cases = Vec::new();
    for path in paths {
        let file: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        for case in file["cases"].as_array().unwrap() {
            cases.push((format!("{stem}/{}", case["name"].as_str().unwrap()), case.clone()));
        }
    }
    assert!(!cases.is_empty());
    cases
}

/// The bytes that an `input` describes.
pub fn bytes(input: &Value) -> Vec<u8> {
    match input {
        Value::String(text) => text.clone().into_bytes(),
        Value::Array(parts) => parts.iter().flat_map(bytes).collect(),
        part => match part["hex"].as_str() {
            Some(hex) => const_hex::decode(hex).unwrap(),
            None => part["text"]
                .as_str()
                .unwrap()
                .repeat(number(&part["times"]).unwrap_or(1))
                .into_bytes(),
        },
    }
}

/// A whole number, if there is one.
pub fn number(value: &Value) -> Option<usize> {
    value.as_u64().map(|number| usize::try_from(number).unwrap())
}

/// The ways to cut an input: whole, byte by byte, and in two at every `step`th offset.
pub fn splits(input: &[u8], step: usize) -> Vec<Vec<&[u8]>> {
    let mut splits = vec![vec![input], input.chunks(1).collect()];
    splits.extend((0..=input.len()).step_by(step).map(|at| vec![&input[..at], &input[at..]]));
    splits
}
