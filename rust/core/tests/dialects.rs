//! The promise of `delta/dialects/`: a dialect is its file and one row of the table.

use std::fs;
use std::path::{Path, PathBuf};

/// Dialects whose names are those of nothing else in the crate.
const NAMES: [&str; 2] = ["anthropic", "ollama"];

#[test]
fn a_dialect_is_named_in_its_file_and_its_row_alone() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
    let table = source.join("delta/dialects/mod.rs");
    // The encoders write wires, each in a file of its own.
    let encoders = source.join("encode");
    for name in NAMES {
        let own = table.with_file_name(format!("{name}.rs"));
        assert!(own.exists(), "{name}");
        for file in files_of(&source).into_iter().filter(|file| !file.starts_with(&encoders)) {
            let text = fs::read_to_string(&file).unwrap().to_lowercase();
            let lines: Vec<&str> = text.lines().filter(|line| line.contains(name)).collect();
            if file == table {
                assert_eq!(row(&text, name), lines, "{name}");
            } else {
                assert!(file == own || lines.is_empty(), "{}: {lines:?}", file.display());
            }
        }
    }
}

/// The lines of a dialect's row that name it: the row itself, and what the row says that it is.
fn row<'a>(table: &'a str, name: &str) -> Vec<&'a str> {
    let lines: Vec<&str> = table.lines().collect();
    let is_row = |line: &&str| line.contains(&format!(", {name}::{name};"));
    let end = lines.iter().position(is_row).unwrap();
    let docs = lines[..end].iter().rev().take_while(|line| line.trim().starts_with("///")).count();
    lines[end - docs..=end].iter().copied().filter(|line| line.contains(name)).collect()
}

fn files_of(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    folders.iter().flat_map(|folder| files_of(folder)).chain(files).collect()
}
