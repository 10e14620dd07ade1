//! The text of a chat reply from standard input: `curl -N … | cargo run --example deltas --
//! --dialect openai`.

use std::error::Error;
use std::io::{self, ErrorKind, Read, Write};

use tailrace_core::{DeltaDecoder, DeltaOptions, DeltaSink, Dialect};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let dialect = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Dialect::OpenAi,
        ["--dialect", name] => name.parse()?,
        _ => return Err("usage: deltas [--dialect NAME] < REPLY".into()),
    };
    let decoder = run(dialect, io::stdin().lock(), io::stdout().lock())?;
    eprintln!("\n[{}]", decoder.end());
    match decoder.error() {
        Some(error) => Err(error.clone().into()),
        None => Ok(()),
    }
}

/// Writes the text of a reply as it comes. What was wrong with the reply is known by the decoder.
///
/// # Errors
/// When the output fails. An input that fails is a reply that breaks off.
pub fn run(dialect: Dialect, mut input: impl Read, output: impl Write) -> io::Result<DeltaDecoder> {
    let mut decoder = DeltaDecoder::new(dialect, DeltaOptions::default());
    let mut writer = Writer { output, written: Ok(()) };
    let mut buffer = [0; 16 * 1024];
    let complete = loop {
        match input.read(&mut buffer) {
            Ok(0) => break true,
            Ok(length) => decoder.feed(&buffer[..length], &mut writer),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break false,
        }
        writer.flush()?;
    };
    decoder.close(complete, &mut writer);
    writer.flush()?;
    Ok(decoder)
}

/// A sink that remembers what went wrong with its output.
struct Writer<W> {
    output: W,
    written: io::Result<()>,
}

impl<W: Write> Writer<W> {
    fn flush(&mut self) -> io::Result<()> {
        std::mem::replace(&mut self.written, Ok(()))?;
        self.output.flush()
    }
}

impl<W: Write> DeltaSink for Writer<W> {
    fn text(&mut self, delta: &str) {
        if self.written.is_ok() {
            self.written = self.output.write_all(delta.as_bytes());
        }
    }

    fn wants_everything(&self) -> bool {
        false
    }
}
