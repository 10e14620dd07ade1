//! Server-sent events from standard input, a line each: `curl -N … | cargo run --example events`.

use std::io::{self, ErrorKind, Read, Write};
use std::ops::ControlFlow;

use tailrace_core::EventDecoder;

fn main() -> io::Result<()> {
    run(io::stdin().lock(), io::stdout().lock())
}

/// Writes type, id and data of each event as soon as it is there; the data quoted, as it may have
/// lines of its own.
///
/// # Errors
/// When the input or the output fails, or an event is larger than the decoder's limit.
pub fn run(mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    let mut decoder = EventDecoder::default();
    let mut buffer = [0; 16 * 1024];
    loop {
        let read = match input.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => &buffer[..length],
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let mut written = Ok(());
        let fed = decoder.feed(read, |event| {
            written = writeln!(output, "{}\t{}\t{:?}", event.kind(), event.id, event.data);
            if written.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        written?;
        output.flush()?;
        fed.map_err(io::Error::other)?;
    }
    decoder.close().map_err(io::Error::other)
}
